"""A ground below the objects, lit like them, with their soft shadows.

The light is a disc in the sky, not a point: at the edge of a shadow only a
part of it is hidden. A point that sees none of it still shows the ambient
light. Above the horizon is the plain background.
"""

from collections.abc import Sequence

import numpy as np

from data_gen.rendering import cameras as cameras_lib
from data_gen.rendering import colors, solids
from data_gen.rendering.rays import LIGHT, Solid

HEIGHT_M = -0.5  # The lower bound of the world.
COLOR = np.array([0.32, 0.31, 0.29])
LIGHT_RADIUS = 0.08  # Of the disc at distance 1.
_LIT = colors.AMBIENT + (1 - colors.AMBIENT) * LIGHT[2]
# A shadow is computed on this many points a side of its box, and interpolated.
_GRID_SIZE = 32


def ground_colors() -> np.ndarray:
  """Returns the colours from the deepest shadow to full light, (16, 3)."""
  return np.linspace(colors.AMBIENT, _LIT, 16)[:, None] * COLOR


def is_above(solid: Solid) -> bool:
  """Whether all of a solid stays above the ground."""
  lowest = solid.to_world(solids.outline_points(solid.shape))[..., 2].min()
  return bool(lowest >= HEIGHT_M)


def render_ground(
  cameras: cameras_lib.Cameras, background: np.ndarray
) -> np.ndarray:
  """Returns the ground without shadows, (V, H, W, 3), in [0, 1].

  Args:
    cameras: V cameras.
    background: Colour above the horizon, (3,), in [0, 1].
  """
  size = cameras.image_size
  # Three rays a pixel and axis.
  fine = (np.arange(3 * size) - 1) / 3
  height, _ = _meet_ground(cameras, fine, fine)
  covered = (height > 0).reshape(-1, size, 3, size, 3).mean((2, 4))[..., None]
  return covered * (_LIT * COLOR) + (1 - covered) * background


def add_shadows(
  images: np.ndarray, scene: Sequence[Solid], cameras: cameras_lib.Cameras
) -> np.ndarray:
  """Darkens the ground below solids.

  Args:
    images: The ground of each camera, (V, H, W, 3), in [0, 1].
    scene: Solids, in each of T frames.
    cameras: V cameras.

  Returns:
    (V, T, H, W, 3), in [0, 1].
  """
  num_frames = len(scene[0].trajectory)
  frames = np.repeat(images[:, None], num_frames, axis=1)
  pixels = np.arange(cameras.image_size)
  height, points = _meet_ground(cameras, pixels, pixels)
  points[height <= 0] = np.inf
  for time in range(num_frames):
    hidden = np.zeros(points.shape[:-1])
    for solid in scene:
      if solid.is_there[time]:
        _add_shadow(hidden, solid, time, points)
    view, row, column = np.nonzero(hidden)
    share = hidden[view, row, column][:, None]
    factor = 1 - share * (1 - colors.AMBIENT / _LIT)
    frames[view, time, row, column] *= factor
  return frames


def ground_depths(cameras: cameras_lib.Cameras) -> np.ndarray:
  """Returns the ground's distance along the cameras' axes, (V, H, W), metres.

  It is 0 above the horizon.
  """
  pixels = np.arange(cameras.image_size)
  height, _ = _meet_ground(cameras, pixels, pixels)
  return height


def _meet_ground(cameras, xs, ys):
  """Returns depth (V, h, w), 0 if none, and x, y of the points (V, h, w, 2)."""
  x, y = np.meshgrid(xs, ys)
  homogeneous = np.stack([x, y, np.ones_like(x, float)], -1)
  world_from_pixel = np.einsum(
    "vji,vjk->vik", cameras.rotations, np.linalg.inv(cameras.intrinsics)
  )
  directions = np.einsum("vij,hwj->vhwi", world_from_pixel, homogeneous)
  above = cameras.positions[:, 2] - HEIGHT_M
  with np.errstate(divide="ignore", invalid="ignore"):
    depth = -above[:, None, None] / directions[..., 2]
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0)
  points = cameras.positions[:, None, None, :2] + (
    directions[..., :2] * depth[..., None]
  )
  return depth, points


def _light_directions() -> np.ndarray:
  """Points of the light's disc, seen from anywhere, (25, 3)."""
  side = np.cross(LIGHT, [0.0, 0.0, 1.0])
  side /= np.linalg.norm(side)
  other = np.cross(LIGHT, side)
  places = [(0.0, 0.0)]
  for radius, count in ((0.3, 4), (0.6, 8), (0.9, 12)):
    angles = 2 * np.pi * (np.arange(count) + 0.5) / count
    places += [(radius * np.cos(a), radius * np.sin(a)) for a in angles]
  disc = LIGHT_RADIUS * np.array(places)
  return LIGHT + disc[:, :1] * side + disc[:, 1:] * other


_DIRECTIONS = _light_directions()


def _add_shadow(hidden, solid, time, points):
  """Raises `hidden` to the share of the light that a solid hides, in place."""
  corners = solids.outline_points(solid.shape, 32) * solid.size
  corners = corners @ solid.rotations[time].T + solid.trajectory[time]
  steps = (corners[:, 2] - HEIGHT_M)[:, None] / _DIRECTIONS[:, 2]
  cast = corners[:, None, :2] - steps[..., None] * _DIRECTIONS[:, :2]
  low, high = cast.min((0, 1)) - 0.01, cast.max((0, 1)) + 0.01
  is_in = ((points >= low) & (points <= high)).all(-1)
  if not is_in.any():
    return
  steps = np.linspace(0, 1, _GRID_SIZE)
  texture = _shadow_texture(
    solid, time, *(low[i] + (high[i] - low[i]) * steps for i in range(2))
  )
  place = (points[is_in] - low) / (high - low) * (_GRID_SIZE - 1)
  first = np.minimum(place.astype(int), _GRID_SIZE - 2)
  (right, down), (column, row) = (place - first).T, first.T
  value = (1 - down) * (
    (1 - right) * texture[row, column] + right * texture[row, column + 1]
  ) + down * (
    (1 - right) * texture[row + 1, column]
    + right * texture[row + 1, column + 1]
  )
  hidden[is_in] = np.maximum(hidden[is_in], value)


def _shadow_texture(solid, time, xs, ys):
  """Share of the light hidden from points of the ground, (h, w)."""
  x, y = np.meshgrid(xs, ys)
  origins = np.stack([x, y, np.full_like(x, HEIGHT_M)], -1)
  rotation = solid.rotations[time]
  local = (origins - solid.trajectory[time]) @ rotation / solid.size
  directions = (_DIRECTIONS @ rotation).T[:, :, None, None]
  hits = solids.cast(
    solid.shape, np.moveaxis(local, -1, 0)[:, None], directions, LIGHT
  )
  return hits.is_hit.mean(0)
