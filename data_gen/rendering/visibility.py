"""How much of an object's silhouette the cameras see."""

from collections.abc import Sequence

import numpy as np

from data_gen.rendering.rays import SAME_DEPTH, Rays, Solid, cast_grid

MIN_PIXELS = 9
MIN_FRACTION = 0.5
# The fraction is measured on a grid over the silhouette's box: first a coarse
# one, then, where that does not settle it, a fine one. Measured against clipped
# polygons, they are off by less than these (see the test).
COARSE_GRID, COARSE_ERROR = 24, 0.06
FINE_GRID, FINE_ERROR = 64, 0.02

Cast = tuple[Solid, Rays]


def visible_fractions(
  target: Cast,
  others: Sequence[Cast],
  image_size: int,
  *,
  frames: np.ndarray | None = None,
  grid_size: int = FINE_GRID,
  num_before: int = 0,
) -> np.ndarray:
  """Returns the share of a silhouette that is inside the image and not hidden.

  Args:
    target: The solid to be seen, and its rays.
    others: Solids that may hide it.
    image_size: Pixels.
    frames: Numbers of the frames to measure, (G,); all of V * T by default.
    grid_size: Points of the grid along each side.
    num_before: How many of `others`, the first ones, are in front where they
      are as near as the solid.

  Returns:
    (G,): exactly 1 where nothing cuts the silhouette off or comes near its
    box, or the solid is not there; elsewhere nearly the truth.
  """
  solid, rays = target
  if frames is None:
    frames = np.arange(len(rays.low))
  edge_low, edge_high = -0.5, image_size - 0.5
  is_cut = ((rays.low < edge_low) | (rays.high > edge_high)).any(-1)
  is_near = [
    other.is_there & _do_boxes_meet(rays, other) for _, other in others
  ]
  is_cut = np.any([is_cut, *is_near], axis=0) & rays.is_there
  fractions = np.ones(len(frames))
  is_measured = is_cut[frames]
  cut = frames[is_measured]
  if not cut.size:
    return fractions
  steps = (np.arange(grid_size) + 0.5) / grid_size
  low, high = rays.low[cut, :, None], rays.high[cut, :, None]
  grid = low + (high - low) * steps  # (G, 2, n)
  xs, ys = grid[:, 0], grid[:, 1]
  hits = cast_grid(solid, rays, cut, xs, ys)
  is_x_inside = (xs >= edge_low) & (xs <= edge_high)
  is_y_inside = (ys >= edge_low) & (ys <= edge_high)
  is_shown = is_y_inside[:, :, None] & is_x_inside[:, None, :] & hits.is_hit
  for number, ((other, other_rays), is_other_near) in enumerate(
    zip(others, is_near, strict=True)
  ):
    near = np.flatnonzero(is_other_near[cut])
    if near.size:
      theirs = cast_grid(other, other_rays, cut[near], xs[near], ys[near])
      depth = hits.distance[near] * solid.size
      depth = depth / SAME_DEPTH if number < num_before else depth * SAME_DEPTH
      is_hidden = theirs.is_hit & (theirs.distance * other.size < depth)
      is_shown[near] &= ~is_hidden
  totals = np.maximum(hits.is_hit.sum((1, 2)), 1)
  fractions[is_measured] = is_shown.sum((1, 2)) / totals
  return fractions


def is_seen(
  target: Cast,
  others: Sequence[Cast],
  image_size: int,
  num_before: int = 0,
) -> bool:
  """Whether at least half of the silhouette is seen in every frame.

  See `visible_fractions`.
  """
  _, rays = target
  if not rays.is_in_front[rays.is_there].all():
    return False
  least = MIN_FRACTION + FINE_ERROR
  margin = COARSE_ERROR + FINE_ERROR
  coarse = visible_fractions(
    target, others, image_size, grid_size=COARSE_GRID, num_before=num_before
  )
  if coarse.min() < least - margin:
    return False
  open_frames = np.flatnonzero(coarse < least + margin)
  fine = visible_fractions(
    target, others, image_size, frames=open_frames, num_before=num_before
  )
  return bool((fine >= least).all())


def is_seen_by_some(target: Cast, num_views: int, image_size: int) -> bool:
  """Whether in every frame half of the silhouette is inside some image."""
  _, rays = target
  if not rays.is_in_front[rays.is_there].all():
    return False
  fractions = visible_fractions(target, [], image_size, grid_size=COARSE_GRID)
  best = fractions.reshape(num_views, -1).max(0)
  return bool(best.min() >= MIN_FRACTION + COARSE_ERROR)


def _do_boxes_meet(rays: Rays, other: Rays) -> np.ndarray:
  """Whether the boxes of two silhouettes have a pixel in common, (F,)."""
  # Round rims reach a little beyond their polygons.
  is_apart = (rays.high + 1 < other.low - 1) | (rays.low - 1 > other.high + 1)
  return ~is_apart.any(-1)
