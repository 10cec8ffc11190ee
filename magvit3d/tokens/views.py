"""Token grids of several views, and which of the views are given.

The views of a scene stand behind one another along the first axis of a grid:
(v*t, h, w), t of each view. With one view that is the clip's own grid.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

_AnyArray = Array | np.ndarray


def join_views(grids: _AnyArray) -> _AnyArray:
  """Returns (b, v*t, ...) of (b, v, t, ...)."""
  b, v, t, *rest = grids.shape
  return grids.reshape(b, v * t, *rest)


def as_clips(grids: _AnyArray, num_views: int) -> _AnyArray:
  """Returns (b*v, t, ...) of (b, v*t, ...)."""
  b, length, *rest = grids.shape
  return grids.reshape(b * num_views, length // num_views, *rest)


def in_all_views(mask: Bool[Array, "b t h w"], num_views: int) -> Array:
  """Returns the same mask of every view, (b, v*t, h, w)."""
  return jnp.tile(mask, (1, num_views, 1, 1))


def in_given_views(
  is_given: Bool[_AnyArray, "b v"], num_frames: int
) -> Bool[Array, "b n 1 1"]:
  """Returns where tokens of given views are, for grids (b, v*t, h, w).

  Args:
    is_given: Which views are.
    num_frames: Of a view's grid, t.
  """
  return jnp.repeat(is_given, num_frames, axis=1)[..., None, None]


def draw_given_views(
  rng: PRNGKeyArray,
  batch_size: int,
  num_views: int,
  num_given: Int[Array, "b 1"] | int,
) -> Bool[Array, "b v"]:
  """Draws which views are given: `num_given` of each scene, any alike."""
  order = jax.random.uniform(rng, (batch_size, num_views)).argsort(axis=1)
  return order.argsort(axis=1) < num_given
