"""The cases of `benchmarks.run` in PyTorch, without JAX.

The fastest of two layouts of clips is taken. Optimizers are PyTorch's fused
ones of the Adam kind, whatever the config says.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.gpu.torch_operations import DEVICE
from benchmarks.gpu.torch_transformer import Network
from benchmarks.torch_tokenizer import Generator

_NUM_SPECIAL_IDS = 32  # Of classes, tasks and the mask, about.


def make(
  kind: str, config: Mapping[str, Any], num_clips: int
) -> Callable[[], Any]:
  """Returns a function that does the work once, and waits for it.

  Args:
    kind: 'tokenizer' (the generator alone), 'transformer', 'decoding' or
      'reconstruction'.
    config: Of a run.
    num_clips: Of a call.
  """
  torch.manual_seed(0)
  makers = {
    "tokenizer": _generator_step,
    "transformer": _transformer_step,
    "decoding": _decoding,
    "reconstruction": _reconstruction,
  }
  call = makers[kind](config, num_clips)

  def run():
    result = call()
    if DEVICE == "cuda":
      torch.cuda.synchronize()
    return result

  return run


def _clips(config, num_clips) -> torch.Tensor:
  size, frames = config["data"]["image_size"], config["data"]["num_frames"]
  return torch.rand((num_clips, 3, frames, size, size), device=DEVICE)


def _faster_layout(make_call) -> Callable:
  """Tries both layouts of 3D convolutions."""
  calls = [
    make_call(layout)
    for layout in (torch.contiguous_format, torch.channels_last_3d)
  ]
  seconds = []
  for call in calls:
    call()
    start = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - start)
  return calls[seconds.index(min(seconds))]


def _generator_step(config, num_clips) -> Callable:
  def make_call(layout):
    network = Generator(config["vqvae"]).to(DEVICE).to(memory_format=layout)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    clips = _clips(config, num_clips).to(memory_format=layout)
    weight = torch.ones_like(clips[:, :1])
    decay = config["vqgan"]["polyak_decay"]

    def step():
      optimizer.zero_grad(set_to_none=True)
      fake, quantizer_loss = network(clips)
      loss = ((clips - fake).square() * weight).mean() + quantizer_loss
      loss.backward()
      optimizer.step()
      with torch.no_grad():
        torch._foreach_lerp_(average, list(network.parameters()), 1 - decay)
      return float(loss.detach())

    return step

  return _faster_layout(make_call)


def _reconstruction(config, num_clips) -> Callable:
  def make_call(layout):
    network = Generator(config["vqvae"]).to(DEVICE).to(memory_format=layout)
    network.eval()
    clips = _clips(config, num_clips).to(memory_format=layout)
    return torch.inference_mode()(lambda: network(clips)[0])

  return _faster_layout(make_call)


def _sizes(config) -> tuple[int, int]:
  """Tokens of a clip, and ids."""
  vqvae, data = config["vqvae"], config["data"]
  halvings = len(vqvae["channel_multipliers"]) - 1
  frames = data["num_frames"] // 2 ** sum(vqvae["temporal_downsample"])
  side = data["image_size"] // 2**halvings
  return frames * side**2, vqvae["codebook_size"] + _NUM_SPECIAL_IDS


def _network(config) -> tuple[Network, int, int]:
  num_tokens, vocab_size = _sizes(config)
  network = Network(config["transformer"], vocab_size, num_tokens + 1)
  return network.to(DEVICE), num_tokens + 1, vocab_size


def _transformer_step(config, num_clips) -> Callable:
  network, length, vocab_size = _network(config)
  optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
  ids = torch.randint(vocab_size, (2, num_clips, length), device=DEVICE)

  def step():
    optimizer.zero_grad(set_to_none=True)
    logits = network(ids[0])
    loss = torch.nn.functional.cross_entropy(
      logits.flatten(0, 1), ids[1].flatten()
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())

  return step


def _decoding(config, num_clips) -> Callable:
  network, length, vocab_size = _network(config)
  network.eval()
  codebook_size = config["vqvae"]["codebook_size"]
  num_steps = config["maskgvt"]["sampling"]["mask_bins"]
  mask_id, num_tokens = vocab_size - 1, length - 1

  @torch.inference_mode()
  def decode():
    tokens = torch.full((num_clips, num_tokens), mask_id, device=DEVICE)
    prefix = torch.zeros((num_clips, 1), dtype=torch.long, device=DEVICE)
    for index in range(num_steps):
      logits = network(torch.cat([prefix, tokens], 1))[:, 1:, :codebook_size]
      noise = -torch.empty_like(logits).exponential_().log()
      drawn = torch.where(
        tokens == mask_id, (logits + noise).argmax(-1), tokens
      )
      confidence = logits.log_softmax(-1).gather(-1, drawn[..., None])[..., 0]
      confidence -= torch.empty_like(confidence).exponential_().log() * (
        1 - (index + 1) / num_steps
      )
      confidence[tokens != mask_id] = math.inf
      ratio = math.cos(math.pi / 2 * (index + 1) / num_steps)
      count = max(int(num_tokens * ratio), 0)
      tokens = drawn
      if count:
        hidden = confidence.topk(count, largest=False).indices
        tokens = drawn.scatter(1, hidden, mask_id)
    return tokens

  return decode
