"""The transformer's training step in torch: the same layers and sizes.

BERT with norms after sums, products in bfloat16, the rest in float32, AdamW,
dropout, and a loss over all positions; compiled as a whole.
"""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.gpu import torch_operations
from benchmarks.gpu.torch_operations import DEVICE


class Layer(nn.Module):
  """Attention and MLP, each followed by dropout, sum and norm."""

  def __init__(self, width: int, heads: int, mlp_dim: int, dropout: float):
    super().__init__()
    self._heads = heads
    self.to_qkv = nn.Linear(width, 3 * width)
    self.out = nn.Linear(width, width)
    self.attention_norm = nn.LayerNorm(width)
    self.mlp = nn.Sequential(
      nn.Linear(width, mlp_dim),
      nn.GELU(approximate="tanh"),
      nn.Linear(mlp_dim, width),
    )
    self.mlp_norm = nn.LayerNorm(width)
    self.dropout = nn.Dropout(dropout)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    b, n, width = x.shape
    qkv = self.to_qkv(x).view(b, n, 3, self._heads, width // self._heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    attended = functional.scaled_dot_product_attention(query, key, value)
    attended = self.out(attended.transpose(1, 2).reshape(b, n, width))
    x = self.attention_norm(x + self.dropout(attended))
    return self.mlp_norm(x + self.dropout(self.mlp(x)))


class Network(nn.Module):
  """Token ids to logits over all ids, by the table that embeds them."""

  def __init__(self, config: Mapping[str, Any], vocab_size: int, length: int):
    super().__init__()
    width = config["hidden_size"]
    self.words = nn.Embedding(vocab_size, width)
    self.positions = nn.Parameter(torch.zeros(length, width))
    self.norm = nn.LayerNorm(width)
    self.dropout = nn.Dropout(config["dropout_rate"])
    self.layers = nn.ModuleList(
      Layer(
        width, config["num_heads"], config["mlp_dim"], config["dropout_rate"]
      )
      for _ in range(config["num_layers"])
    )
    self.dense = nn.Linear(width, width)
    self.head_norm = nn.LayerNorm(width)
    self.bias = nn.Parameter(torch.zeros(vocab_size))

  def forward(self, ids: torch.Tensor) -> torch.Tensor:
    x = self.dropout(self.norm(self.words(ids) + self.positions))
    for layer in self.layers:
      x = layer(x)
    x = functional.gelu(self.dense(x), approximate="tanh")
    return functional.linear(self.head_norm(x), self.words.weight, self.bias)


def measure(
  config: Mapping[str, Any],
  *,
  num_clips: int,
  num_tokens: int,
  peak: float | None,
  is_small: bool,
) -> dict[str, Any]:
  """Returns times and memory of a step.

  Args:
    config: Of a run.
    num_clips: Sequences.
    num_tokens: Of a clip; two more precede them.
    peak: Measured FLOP/s of bfloat16, for the share.
    is_small: Fewer calls, and nothing is compiled.
  """
  torch.manual_seed(0)
  length = num_tokens + 2
  vocab_size = config["vqvae"]["codebook_size"] + 32
  network = Network(config["transformer"], vocab_size, length).to(DEVICE)
  optimizer = torch.optim.AdamW(
    network.parameters(), lr=1e-4, fused=DEVICE == "cuda"
  )
  ids = torch.randint(vocab_size, (2, num_clips, length), device=DEVICE)

  def loss_of(ids, targets):
    with torch.autocast(DEVICE, torch.bfloat16):
      logits = network(ids)
    return functional.cross_entropy(
      logits.float().flatten(0, 1), targets.flatten()
    )

  compiled = loss_of if is_small else torch.compile(loss_of)

  def step():
    optimizer.zero_grad(set_to_none=True)
    loss = compiled(*ids)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss

  start = time.perf_counter()
  float(step().detach())
  first_s = time.perf_counter() - start
  num_calls, num_repeats = (1, 2) if is_small else (5, 5)
  seconds = torch_operations.seconds_per_queued_call(
    step, num_calls, num_repeats
  )
  result = {
    "milliseconds": seconds * 1e3,
    "clips_per_second": num_clips / seconds,
    "first_step_s": first_s,
    "tokens": length,
  }
  if DEVICE == "cuda":
    result["peak_GiB"] = torch.cuda.max_memory_allocated() / 2**30
  flops = _flops(config["transformer"], vocab_size, num_clips, length)
  result["GFLOP"] = flops / 1e9
  if peak:
    result["share_of_peak"] = flops / seconds / peak
  return result


def _flops(config, vocab_size, num_clips, length) -> float:
  """Of the products, forward and backward: three times the forward ones."""
  width, mlp_dim = config["hidden_size"], config["mlp_dim"]
  per_layer = 8 * width**2 + 4 * width * mlp_dim + 4 * length * width
  head = 2 * width**2 + 2 * width * vocab_size
  forward = config["num_layers"] * per_layer + head
  return 3.0 * num_clips * length * forward
