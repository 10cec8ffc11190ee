"""3D convolutions of XLA, as 2D convolutions over frames, and of oneDNN.

  python benchmarks/conv3d.py

Prints, for some sizes of the tokenizer, milliseconds of value and gradient
each way, side by side on this machine, and how many times faster it is than
XLA's. oneDNN's need the extra `onednn`.
"""

import functools
import statistics
import time

import jax
import jax.numpy as jnp

from magvit3d.models import layers, onednn

_SIZES = ((2, 16, 32, 16), (2, 8, 16, 32), (2, 4, 8, 64))  # b, t, h = w, c.
_REPEATS = 9


def milliseconds(function, *arguments) -> float:
  """Median time of a compiled call."""
  jax.block_until_ready(function(*arguments))
  times = []
  for _ in range(_REPEATS):
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    times.append(time.perf_counter() - start)
  return statistics.median(times) * 1e3


def make_step(module):
  """Returns value and gradient of a scalar of the module's output."""

  @jax.jit
  def step(variables, clips):
    def objective(variables, clips):
      return jnp.sum(jnp.sin(module.apply(variables, clips)))

    return jax.value_and_grad(objective, argnums=(0, 1))(variables, clips)

  return step


def main() -> None:
  """Prints the table."""
  device = jax.devices()[0].device_kind
  implementations = ["xla", "frames"]
  implementations += ["onednn"] if onednn.is_available() else []
  print(f"{device}, float32, median of {_REPEATS}")
  modules = {
    "conv 3x3x3": lambda c: functools.partial(layers.Conv, c, (3, 3, 3)),
    "transposed 4x4x4, stride 2": lambda c: functools.partial(
      layers.ConvTranspose, c, (2, 2, 2)
    ),
  }
  for name, make in modules.items():
    for b, t, h, c in _SIZES:
      clips = jax.random.normal(jax.random.key(0), (b, t, h, h, c))
      times = {}
      for implementation in implementations:
        module = make(c)(implementation=implementation)
        variables = module.init(jax.random.key(1), clips)
        times[implementation] = milliseconds(
          make_step(module), variables, clips
        )
      cells = (
        f"  {implementation} {ms:7.1f} ms ({times['xla'] / ms:.1f} x)"
        for implementation, ms in times.items()
      )
      print(f"{name:28} ({b}, {t}, {h}, {h}, {c:3})", *cells)


if __name__ == "__main__":
  main()
