"""How much of an object's silhouette the cameras see."""

from collections.abc import Sequence

import numpy as np

from data_gen.rays import Rays, Solid, cast_grid

MIN_PIXELS = 9
MIN_FRACTION = 0.5
# The fraction is measured on a grid over the silhouette's box. Measured
# against clipped polygons, it is off by less than 0.02 (see the test).
GRID_SIZE = 64
GRID_ERROR = 0.02

Cast = tuple[Solid, Rays]


def visible_fractions(
  target: Cast, others: Sequence[Cast], image_size: int
) -> np.ndarray:
  """Returns the share of a silhouette that is inside the image and not hidden.

  Args:
    target: The solid to be seen, and its rays.
    others: Solids that may hide it.
    image_size: Pixels.

  Returns:
    (V * T,): exactly 1 where nothing cuts the silhouette off or comes near its
    box, or the solid is not there; elsewhere within GRID_ERROR of the truth.
  """
  solid, rays = target
  edge_low, edge_high = -0.5, image_size - 0.5
  is_cut = ((rays.low < edge_low) | (rays.high > edge_high)).any(-1)
  for _, other in others:
    is_cut |= other.is_there & _do_boxes_meet(rays, other)
  fractions = np.ones(len(rays.low))
  cut = np.flatnonzero(is_cut & rays.is_there)
  if not cut.size:
    return fractions
  steps = (np.arange(GRID_SIZE) + 0.5) / GRID_SIZE
  low, high = rays.low[cut, :, None], rays.high[cut, :, None]
  grid = low + (high - low) * steps  # (G, 2, n)
  xs, ys = grid[:, 0], grid[:, 1]
  hits = cast_grid(solid, rays, cut, xs, ys)
  is_x_inside = (xs >= edge_low) & (xs <= edge_high)
  is_y_inside = (ys >= edge_low) & (ys <= edge_high)
  is_seen = is_y_inside[:, :, None] & is_x_inside[:, None, :] & hits.is_hit
  for other, other_rays in others:
    is_near = other_rays.is_there & _do_boxes_meet(rays, other_rays)
    near = np.flatnonzero(is_near[cut])
    if near.size:
      theirs = cast_grid(other, other_rays, cut[near], xs[near], ys[near])
      depth = hits.distance[near] * solid.size
      is_hidden = theirs.is_hit & (theirs.distance * other.size < depth)
      is_seen[near] &= ~is_hidden
  totals = np.maximum(hits.is_hit.sum((1, 2)), 1)
  fractions[cut] = is_seen.sum((1, 2)) / totals
  return fractions


def is_seen(target: Cast, others: Sequence[Cast], image_size: int) -> bool:
  """Whether at least half of the silhouette is seen in every frame."""
  _, rays = target
  if not rays.is_in_front[rays.is_there].all():
    return False
  fractions = visible_fractions(target, others, image_size)
  return bool(fractions.min() >= MIN_FRACTION + GRID_ERROR)


def _do_boxes_meet(rays: Rays, other: Rays) -> np.ndarray:
  """Whether the boxes of two silhouettes have a pixel in common, (F,)."""
  # Round rims reach a little beyond their polygons.
  is_apart = (rays.high + 1 < other.low - 1) | (rays.low - 1 > other.high + 1)
  return ~is_apart.any(-1)
