"""Step `operations`: convolutions and attention, each beside torch's.

  python -m benchmarks.gpu.operations --output=gpu_check

Milliseconds of the forward and of the backward pass, and the fastest
implementation of each shape: what the default of this device should be.
"""

import concurrent.futures
import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from absl import app
from jax import lax
from jaxtyping import Array

from benchmarks import timing
from benchmarks.gpu.results import SMALL, Results, message
from magvit3d.models import attention, frame_convs, layers, resampling

DTYPES = ("bfloat16", "float32")
# Kind, network, and what goes in: b, t, h = w, c. The widths of `:B` with 4
# clips of 128 px, and of `:tiny` with 32 clips of 32 px.
_CONVOLUTIONS = (
  ("upsampling conv", "B", (4, 8, 64, 128)),
  ("conv", "B", (4, 16, 128, 64)),
  ("pooled conv", "B", (4, 16, 128, 64)),
  ("transposed conv", "tiny", (32, 4, 8, 64)),
  ("conv", "tiny", (32, 16, 32, 16)),
  ("upsampling conv", "B", (4, 4, 32, 256)),
  ("conv", "B", (4, 8, 64, 128)),
  ("conv", "B", (4, 4, 16, 256)),
)
_SMALL_CONVOLUTIONS = (
  ("transposed conv", "small", (1, 2, 4, 4)),
  ("conv", "small", (1, 4, 8, 4)),
  ("upsampling conv", "small", (1, 2, 4, 4)),
  ("pooled conv", "small", (1, 4, 8, 4)),
)
_STRIDES = (2, 2, 2)
# b, tokens, heads, d: `:tiny`, MAGVIT's with its one token more, three views.
_ATTENTIONS = ((32, 258, 4, 32), (8, 1025, 12, 64), (4, 3073, 12, 64))
_SMALL_ATTENTIONS = ((1, 9, 2, 4),)
PASSES = ("forward", "backward")
_NUM_THREADS = 16
_NUM_TOGETHER = 6  # Cases whose programs are compiled before they are timed.
_MAX_LINKS = 10
_GRADIENT_BYTES = 2 * 10**9  # Of all links.


@dataclasses.dataclass(frozen=True)
class Case:
  """An operation on arrays of certain shapes, in several implementations.

  Attributes:
    kind: 'attention', or of convolution; see `_CONVOLUTIONS`.
    name: With its shape.
    shapes: Of the arguments, the smallest first.
    result_shape: Of the result.
    implementations: By name; functions of the arguments.
    flops: Of the forward pass.
  """

  kind: str
  name: str
  shapes: tuple[tuple[int, ...], ...]
  result_shape: tuple[int, ...]
  implementations: dict[str, Callable[..., Array]]
  flops: float


def cases(dtype: str) -> Iterator[Case]:
  """Yields all; the most telling ones first."""
  convolutions, attentions = _CONVOLUTIONS, _ATTENTIONS
  if SMALL.value:
    convolutions, attentions = _SMALL_CONVOLUTIONS, _SMALL_ATTENTIONS
  for i, convolution in enumerate(convolutions):
    yield _convolution(*convolution, dtype)
    if i < len(attentions):
      yield _attention(attentions[i])


def _convolution(kind, network, clip, dtype) -> Case:
  b, t, size, channels = clip
  width = 4 if kind == "transposed conv" else 3
  numerator, denominator = _SCALES[kind]
  grid = [n * numerator // denominator for n in (t, size, size)]

  def make(implementation):
    options = {"dtype": dtype, "implementation": implementation}
    if kind == "transposed conv":
      module = layers.ConvTranspose(channels, _STRIDES, **options)
    else:
      if kind in _RESAMPLING:
        options[_RESAMPLING[kind]] = _STRIDES
      module = layers.Conv(channels, (width,) * 3, **options)
    bias = jnp.zeros(channels)

    def apply(kernel, clips):
      return module.apply({"params": {"kernel": kernel, "bias": bias}}, clips)

    return apply

  implementations = {name: make(name) for name in ("xla", "frames")}
  if kind in _APART:
    implementations[_APART[kind][0]] = _APART[kind][1]
  # Each coarse value meets 64 taps where the grid is doubled or halved.
  taps = (
    27 * t * size**2
    if kind == "conv"
    else 64 * min(t, grid[0]) * (min(size, grid[1]) ** 2)
  )
  return Case(
    kind,
    f"{network} {width}x{width}x{width} ({b}, {t}, {size}, {size}, {channels})",
    ((width,) * 3 + (channels, channels), (b, t, size, size, channels)),
    (b, *grid, channels),
    implementations,
    2.0 * b * taps * channels**2,
  )


def _plain(kernel: Array, clips: Array) -> Array:
  kernel = kernel.astype(clips.dtype)
  return frame_convs.conv(clips, kernel, (1, 1, 1), "SAME")


def _dilated(kernel: Array, clips: Array) -> Array:
  """What JAX makes of a transposed convolution: one of clips full of zeros."""
  kernel = kernel.astype(clips.dtype)
  return lax.conv_transpose(clips, kernel, _STRIDES, "SAME")


def _repeated(kernel: Array, clips: Array) -> Array:
  return _plain(kernel, resampling.upsample_nearest(clips, _STRIDES))


def _averaged(kernel: Array, clips: Array) -> Array:
  return resampling.average_pool(_plain(kernel, clips), _STRIDES)


_SCALES = {  # Of the grid, as a fraction.
  "conv": (1, 1),
  "transposed conv": (2, 1),
  "upsampling conv": (2, 1),
  "pooled conv": (1, 2),
}
_RESAMPLING = {"upsampling conv": "upsampling", "pooled conv": "pooling"}
_APART = {  # The same in two operations.
  "transposed conv": ("dilated", _dilated),
  "upsampling conv": ("repeated, then convolved", _repeated),
  "pooled conv": ("convolved, then averaged", _averaged),
}


def _attention(shape: tuple[int, int, int, int]) -> Case:
  b, num_tokens, heads, width = shape

  def make(implementation):
    def apply(query, key, value):
      return attention.attend(query, key, value, implementation=implementation)

    return apply

  return Case(
    "attention",
    f"({b}, {num_tokens}, {heads}, {width})",
    (shape,) * 3,
    shape,
    {
      "xla": make("xla"),
      "cudnn": make("cudnn"),
    },
    4.0 * b * heads * num_tokens**2 * width,
  )


def lower(
  case: Case, dtype: str, implementation: str, which: str, **options
) -> jax.stages.Lowered:
  """Traces one pass of an implementation, repeated in a chain.

  Args:
    case: What is done.
    dtype: Of all arrays but convolutions' kernels, which are parameters.
    implementation: One of the case's.
    which: One of `PASSES`.
    **options: Of `jax.ShapeDtypeStruct`.
  """
  operation = case.implementations[implementation]
  types = [dtype] * len(case.shapes)
  if case.kind != "attention":
    types[0] = "float32"
  arrays = [
    jax.ShapeDtypeStruct(shape, kind, **options)
    for shape, kind in zip(case.shapes, types, strict=True)
  ]
  links = num_links(case, dtype, which)
  if which == "forward":
    return jax.jit(timing.chain_forward(operation, links)).lower(*arrays)
  result = jax.ShapeDtypeStruct(case.result_shape, dtype, **options)
  chain = timing.chain_backward(operation)
  return jax.jit(chain).lower([result] * links, *arrays)


def num_links(case: Case, dtype: str, which: str) -> int:
  """Returns how often a pass is repeated in one program."""
  if SMALL.value:
    return 2
  if which == "forward":
    return _MAX_LINKS
  size = math.prod(case.result_shape) * jnp.dtype(dtype).itemsize
  return max(2, min(_MAX_LINKS, _GRADIENT_BYTES // size))


def _milliseconds(lowered: jax.stages.Lowered, compiled, links: int) -> float:
  """Of one link."""
  shapes = jax.tree.leaves(lowered.in_avals)
  keys = jax.random.split(jax.random.key(0), len(shapes))
  arrays = [
    jax.random.normal(key, info.shape, info.dtype) / 8
    for key, info in zip(keys, shapes, strict=True)
  ]
  arguments, _ = jax.tree.unflatten(lowered.in_tree, arrays)
  seconds = timing.seconds_per_call(
    lambda: compiled(*arguments),
    num_calls=1 if SMALL.value else 3,
    num_repeats=2 if SMALL.value else 5,
  )
  return seconds / links * 1e3


def main(argv: list[str]) -> int:
  """Times all; returns the exit status."""
  del argv
  results = Results("operations")
  size = 256 if SMALL.value else 8192
  for dtype in DTYPES:
    results.attempt(
      "peak, TFLOP/s",
      dtype,
      lambda dtype=dtype: timing.matmul_flops_per_second(dtype, size) / 1e12,
    )
  both = zip(*(cases(dtype) for dtype in DTYPES), strict=True)
  told = [
    (dtype, case)
    for pair in both
    for dtype, case in zip(DTYPES, pair, strict=True)
  ]
  with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    for start in range(0, len(told), _NUM_TOGETHER):
      some = told[start : start + _NUM_TOGETHER]
      compiled = [_start_compiling(pool, dtype, case) for dtype, case in some]
      concurrent.futures.wait([f for one in compiled for f in one.values()])
      for (dtype, case), futures in zip(some, compiled, strict=True):
        _time_case(results, futures, case, dtype)
  return int(results.num_failed > 0)


def _start_compiling(pool, dtype: str, case: Case) -> dict:
  """Compiles on the host's cores; what is to come by implementation, pass."""

  def compile_one(implementation, which):
    lowered = lower(case, dtype, implementation, which)
    links = num_links(case, dtype, which)
    return lowered, lowered.compile(), links

  return {
    (implementation, which): pool.submit(compile_one, implementation, which)
    for implementation in case.implementations
    for which in PASSES
  }


def _time_case(results: Results, futures: dict, case: Case, dtype: str) -> None:
  def measure():
    times = {}
    for (implementation, which), future in futures.items():
      times.setdefault(implementation, {})[which] = _time_or_reason(future)
    torch_times = _torch_milliseconds(case, dtype)
    fastest = {
      which: min(
        (name for name in times if isinstance(times[name][which], float)),
        key=lambda name: times[name][which],
        default=None,
      )
      for which in PASSES
    }
    return {
      "milliseconds": times,
      "torch, milliseconds": torch_times,
      "fastest": fastest,
      "forward_GFLOP": case.flops / 1e9,
    }

  results.attempt(case.kind, f"{case.name}, {dtype}", measure)


def _time_or_reason(future) -> float | str:
  """Milliseconds, or why the device refuses it."""
  try:
    return _milliseconds(*future.result())
  except Exception as error:  # Others may work.
    return f"refused: {message(error)}"


def _torch_milliseconds(case: Case, dtype: str) -> dict[str, float | str]:
  try:
    from benchmarks.gpu import torch_operations
  except ImportError:
    return {"forward": "torch is not here", "backward": "torch is not here"}
  return torch_operations.milliseconds(case, dtype, is_small=SMALL.value)


if __name__ == "__main__":
  app.run(main)
