"""Initial values of the transformer's embeddings."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Standard deviation .02, values beyond two of them drawn again. Dividing by
# the deviation of a normal cut there would widen it, which BERT does not.
EMBEDDING_STDDEV = 0.02
EMBEDDING_INIT = nn.initializers.truncated_normal(EMBEDDING_STDDEV)


def grid_position_init(
  prefix_length: int, grid: tuple[int, int, int]
) -> Callable[..., Array]:
  """Returns an initializer of position embeddings that knows the grid.

  Positions of the latents start at sines and cosines of their time, row and
  column, with periods from 4 cells to 8 times the axis, and about as large as
  the usual random values; the prefix starts at those. Neighbours are then
  alike from the first step on. The table is learned as ever.

  Args:
    prefix_length: Positions before the latents.
    grid: (t, h, w) of the latents.
  """
  axes = np.meshgrid(*map(np.arange, grid), indexing="ij")

  def init(rng, shape, dtype=jnp.float32):
    num_waves = shape[1] // 6
    columns = []
    for axis, size in zip(axes, grid, strict=True):
      shortest, longest = math.pi / 2, math.pi / 4 / size
      rates = np.geomspace(shortest, longest, num_waves)
      phase = axis.reshape(-1, 1) * rates
      columns += [np.sin(phase), np.cos(phase)]
    waves = np.concatenate(columns, axis=1) * math.sqrt(2) * EMBEDDING_STDDEV
    table = EMBEDDING_INIT(rng, shape, dtype)
    rows = slice(prefix_length, prefix_length + len(waves))
    return table.at[rows, : waves.shape[1]].set(waves)

  return init
