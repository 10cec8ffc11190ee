"""Random scores of tokens: those with the lowest scores are hidden together.

Mask types: 'random' hides tokens one by one, 'block' hides neighbours in time
and space together, 'frame_by_frame' whole frames from the last one on. Ours:
'frame' hides whole frames in any order, 'tube' places of the image at all times
together, 'view' whole views.

Grids (t, h, w) of several views stand behind one another along time.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

# Axes of (views, time, height, width) that a group's tokens have in common.
_GROUPS = {"view": (0,), "tube": (0, 2, 3), "frame": (0, 1)}
_WITHIN_GROUP = 1e-3  # How much scores of a group differ.
MASK_TYPES = ("random", "block", "frame_by_frame", *_GROUPS)


def pool_blocks(
  score: Float[Array, "b t h w"],
  is_pooled: Bool[Array, "b t h w"],
  block_shape: Sequence[int],
) -> Float[Array, "b t h w"]:
  """Replaces scores by the mean of their block.

  Args:
    score: Blocks start at its corner; those at the end may be cut short.
    is_pooled: Which positions count and change; the others stay.
    block_shape: (t, h, w) of a block.
  """
  b, *grid = score.shape
  counts = [-(-n // width) for n, width in zip(grid, block_shape, strict=True)]
  whole = [n * width for n, width in zip(counts, block_shape, strict=True)]
  split = [b]
  for count, width in zip(counts, block_shape, strict=True):
    split += [count, width]

  def sum_blocks(x):
    missing = [(0, n - m) for n, m in zip(whole, grid, strict=True)]
    blocks = jnp.pad(x, [(0, 0), *missing]).reshape(split)
    sums = jnp.sum(blocks, axis=(2, 4, 6), keepdims=True)
    sums = jnp.broadcast_to(sums, split).reshape(b, *whole)
    return sums[:, : grid[0], : grid[1], : grid[2]]

  total = sum_blocks(jnp.where(is_pooled, score, 0.0))
  count = sum_blocks(is_pooled.astype(score.dtype))
  return jnp.where(is_pooled, total / jnp.maximum(count, 1), score)


def make_scores(
  rng: PRNGKeyArray,
  maskable: Bool[Array, "b t h w"],
  mask_type: str,
  block_shape: Sequence[int] = (1, 1, 1),
  num_views: int = 1,
) -> Float[Array, "b t h w"]:
  """Draws scores for `random_mask`; infinite where nothing is masked.

  Args:
    rng: Key of the draws.
    maskable: Positions that may be hidden.
    mask_type: One of `MASK_TYPES`; or several, joined by commas: each clip
      then has one of them, in equal shares.
    block_shape: (t, h, w) of blocks that are hidden together, for 'block'
      and 'frame_by_frame'.
    num_views: Views that the grids consist of.
  """
  types = parse_mask_types(mask_type)
  drawn = [
    _scores_of_type(rng, maskable, name, block_shape, num_views)
    for name in types
  ]
  if len(types) == 1:
    return drawn[0]
  chosen = jax.random.randint(
    jax.random.fold_in(rng, 2), (len(maskable),), 0, len(types)
  )
  return jnp.stack(drawn, axis=1)[jnp.arange(len(chosen)), chosen]


def parse_mask_types(text: str) -> tuple[str, ...]:
  """Returns the mask types that a text names, joined by commas.

  Raises:
    ValueError: One of them is unknown.
  """
  names = tuple(name.strip() for name in text.split(","))
  for name in names:
    if name not in MASK_TYPES:
      raise ValueError(
        f"Unknown mask type {name!r}; use one of {', '.join(MASK_TYPES)}, or "
        "several, joined by commas."
      )
  return names


def _scores_of_type(rng, maskable, mask_type, block_shape, num_views):
  score = jax.random.uniform(rng, maskable.shape)
  if mask_type in _GROUPS:
    group_rng = jax.random.fold_in(rng, 3)
    group = _group_scores(group_rng, maskable.shape, mask_type, num_views)
    score = group + _WITHIN_GROUP * score
  score = jnp.where(maskable, score, jnp.inf)
  if mask_type not in ("block", "frame_by_frame"):
    return score
  # Each view by itself.
  per_view = score.reshape(-1, score.shape[1] // num_views, *score.shape[2:])
  if mask_type == "frame_by_frame":
    per_view = order_frames(per_view)
  smooth = smooth_scores(jax.random.fold_in(rng, 1), per_view, block_shape)
  return smooth.reshape(score.shape)


def _group_scores(rng, shape, mask_type, num_views):
  """One score for all tokens of a group, (b, t, h, w)."""
  b, t, h, w = shape
  sizes = (num_views, t // num_views, h, w)
  common = _GROUPS[mask_type]
  drawn = [size if axis in common else 1 for axis, size in enumerate(sizes)]
  score = jax.random.uniform(rng, (b, *drawn))
  return jnp.broadcast_to(score, (b, *sizes)).reshape(shape)


def order_frames(score: Float[Array, "b t h w"]) -> Float[Array, "b t h w"]:
  """Makes every score of a frame lower than all of the frame before it.

  Infinite scores stay infinite.
  """
  is_finite = jnp.isfinite(score)
  axes = (1, 2, 3)
  low = jnp.min(score, axis=axes, keepdims=True, initial=1e6, where=is_finite)
  high = jnp.max(score, axis=axes, keepdims=True, initial=-1e6, where=is_finite)
  frame = jnp.arange(score.shape[1]).reshape(1, -1, 1, 1)
  return (score - low) / (high - low + 1e-6) - frame


def smooth_scores(
  rng: PRNGKeyArray,
  score: Float[Array, "b t h w"],
  block_shape: Sequence[int],
) -> Float[Array, "b t h w"]:
  """Averages finite scores over blocks at every offset, in random order.

  Neighbours then have like scores, so that masks are made of blocks.
  """
  block_shape = tuple(block_shape)
  if block_shape == (1, 1, 1):
    return score
  order_rng, noise_rng = jax.random.split(rng)
  grid = score.shape[1:]
  margin = [(width - 1, width - 1) for width in block_shape]
  padded = jnp.pad(score, [(0, 0), *margin], mode="edge")
  offsets = np.stack(np.meshgrid(*map(np.arange, block_shape)), axis=-1)
  offsets = jax.random.permutation(order_rng, offsets.reshape(-1, 3))
  index = [np.arange(n) for n in padded.shape[1:]]
  index = jnp.asarray(np.stack(np.meshgrid(*index, indexing="ij"), axis=-1))

  def pool_at(score, offset):
    # Blocks start at the offset; what the roll brings round stays out.
    rolled = jnp.roll(score, -offset, axis=(1, 2, 3))
    end = jnp.asarray(padded.shape[1:]) - offset
    is_behind = jnp.all(index < end[None, None, None], axis=-1)
    pooled = pool_blocks(
      rolled, jnp.isfinite(rolled) & is_behind[None], block_shape
    )
    return jnp.roll(pooled, offset, axis=(1, 2, 3)), None

  smooth, _ = jax.lax.scan(pool_at, padded, offsets)
  inside = [
    slice(width - 1, width - 1 + n)
    for width, n in zip(block_shape, grid, strict=True)
  ]
  smooth = smooth[:, *inside]
  return smooth + 1e-3 * jax.random.uniform(noise_rng, smooth.shape)
