"""How much of an object's silhouette the cameras see."""

import numpy as np

from data_gen import cameras as cameras_lib
from data_gen import renderer

MIN_PIXELS = 9
MIN_FRACTION = 0.5
# The fraction is measured on a grid over the silhouette's box. Measured
# against clipped polygons, it is off by less than 0.02 (see the test).
GRID_SIZE = 64
GRID_ERROR = 0.02


def inside_fractions(
  solid: renderer.Solid, cameras: cameras_lib.Cameras
) -> np.ndarray:
  """Returns the share of the silhouette inside the image, (V * T,).

  It is exactly 1 where the whole silhouette is inside, and elsewhere within
  GRID_ERROR of the truth.
  """
  rays = renderer.make_rays(solid, cameras)
  low, high = rays.outlines.min(1), rays.outlines.max(1)
  edge_low, edge_high = -0.5, cameras.image_size - 0.5
  fractions = np.ones(len(low))
  is_cut = ((low < edge_low) | (high > edge_high)).any(-1)
  cut = np.flatnonzero(is_cut)
  if not cut.size:
    return fractions
  steps = (np.arange(GRID_SIZE) + 0.5) / GRID_SIZE
  grid = low[cut, :, None] + (high - low)[cut, :, None] * steps  # (G, 2, n)
  xs, ys = grid[:, 0], grid[:, 1]
  is_hit, _, _ = renderer.cast_grid(solid.shape, rays, cut, xs, ys)
  is_x_inside = (xs >= edge_low) & (xs <= edge_high)
  is_y_inside = (ys >= edge_low) & (ys <= edge_high)
  is_inside = is_y_inside[:, :, None] & is_x_inside[:, None, :]
  totals = np.maximum(is_hit.sum((1, 2)), 1)
  fractions[cut] = (is_hit & is_inside).sum((1, 2)) / totals
  return fractions


def is_seen(solid: renderer.Solid, cameras: cameras_lib.Cameras) -> bool:
  """Whether at least half of the silhouette is inside every frame."""
  fractions = inside_fractions(solid, cameras)
  return bool(fractions.min() >= MIN_FRACTION + GRID_ERROR)
