"""The same operations in torch, with TF32 as JAX has it on GPUs.

On a GPU calls are replayed from a CUDA graph, so that launches are not in the
time. Convolutions choose among cuDNN's algorithms by trial, in both layouts.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def milliseconds(
  case: Any, dtype: str, *, is_small: bool
) -> dict[str, float | str]:
  """Returns the times of both passes of an operation.

  Args:
    case: Of `operations`.
    dtype: Name of the type.
    is_small: Fewer calls.
  """
  kind = getattr(torch, dtype)
  if case.kind == "attention":
    return _both_passes(_attention(case.shapes[0], kind), is_small)
  found = {}
  for layout in (torch.contiguous_format, torch.channels_last_3d):
    times = _both_passes(_convolution(case, kind, layout), is_small)
    for which, value in times.items():
      found[which] = min(value, found.get(which, value))
  return found


def _attention(shape, kind) -> tuple[Callable, list[torch.Tensor]]:
  b, num_tokens, heads, width = shape
  arrays = [_random((b, heads, num_tokens, width), kind) for _ in range(3)]
  return functional.scaled_dot_product_attention, arrays


def _convolution(case, kind, layout) -> tuple[Callable, list[torch.Tensor]]:
  kernel_shape, (b, t, h, w, channels) = case.shapes
  width = kernel_shape[0]
  clips = _random((b, channels, t, h, w), kind, layout)
  kernel = _random((channels, channels, *(width,) * 3), kind, layout)

  def convolve(x, k):
    return functional.conv3d(x, k, padding=1)

  operation = {
    "conv": convolve,
    "upsampling conv": lambda x, k: convolve(
      functional.interpolate(x, scale_factor=2), k
    ),
    "pooled conv": lambda x, k: functional.avg_pool3d(convolve(x, k), 2),
    "transposed conv": lambda x, k: functional.conv_transpose3d(
      x, k, stride=2, padding=1
    ),
  }[case.kind]
  return operation, [clips, kernel]


def _random(shape, kind, layout=torch.contiguous_format) -> torch.Tensor:
  values = torch.randn(shape, device=DEVICE, dtype=torch.float32) / 8
  values = values.to(kind).contiguous(memory_format=layout)
  return values.requires_grad_()


def _both_passes(made, is_small: bool) -> dict[str, float]:
  operation, arrays = made
  result = operation(*arrays)
  gradient = torch.randn_like(result)

  def forward():
    with torch.no_grad():
      return operation(*arrays)

  def both():
    return torch.autograd.grad(operation(*arrays), arrays, gradient)

  num_calls, num_repeats = (1, 2) if is_small else (20, 5)
  times = {
    name: seconds_per_call(call, num_calls, num_repeats) * 1e3
    for name, call in {"forward": forward, "both": both}.items()
  }
  return {
    "forward": times["forward"],
    "backward": max(times["both"] - times["forward"], 0.0),
  }


def seconds_per_call(
  call: Callable[[], Any], num_calls: int, num_repeats: int
) -> float:
  """Returns the median time of a call; on a GPU, replayed from a graph."""
  replay = _graph_of(call, num_calls) if DEVICE == "cuda" else None
  if replay is None:
    return seconds_per_queued_call(call, num_calls, num_repeats)
  return seconds_per_queued_call(replay, 1, num_repeats) / num_calls


def seconds_per_queued_call(
  call: Callable[[], Any], num_calls: int, num_repeats: int
) -> float:
  """Returns the median time of a call that queues up behind others."""
  call()
  times = []
  for _ in range(num_repeats):
    _wait()
    start = time.perf_counter()
    for _ in range(num_calls):
      call()
    _wait()
    times.append((time.perf_counter() - start) / num_calls)
  return statistics.median(times)


def _wait() -> None:
  if DEVICE == "cuda":
    torch.cuda.synchronize()


def _graph_of(
  call: Callable[[], Any], num_calls: int
) -> Callable[[], None] | None:
  """Returns the replay of a CUDA graph; None where it cannot be captured."""
  stream = torch.cuda.Stream()
  stream.wait_stream(torch.cuda.current_stream())
  with torch.cuda.stream(stream):
    for _ in range(3):
      call()
  torch.cuda.current_stream().wait_stream(stream)
  graph = torch.cuda.CUDAGraph()
  try:
    with torch.cuda.graph(graph):
      for _ in range(num_calls):
        call()
  except RuntimeError:
    return None
  return graph.replay
