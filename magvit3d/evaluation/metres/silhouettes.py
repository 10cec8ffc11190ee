"""How far the centroid of a solid's silhouette is from its projected origin.

A solid's origin is at half its height, and perspective enlarges what is near,
so the two are not the same: with the default cameras 4 mm apart for cubes, and
93 for cones. All solids are convex: the silhouette is the convex hull of the
projected outline, cut by the edge of the image.

Conventions: see `data_gen.rendering.cameras`.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_gen.rendering import rotations, solids
from data_gen.rendering.cameras import MIN_DEPTH_M

# The hull is sampled in this many directions: the corners that it misses turn
# by less than 1 degree, and move centroids by less than 0.01 px (see the test).
_NUM_DIRECTIONS = 360
_MIN_AREA_PX = 1e-6


@dataclasses.dataclass(frozen=True)
class KnownSolid:
  """What a record tells of a scene's object, but where it is.

  Attributes:
    shape: Its name; see `data_gen.schema.PRESETS`.
    size: Scale.
    orientation: Unit quaternions (w, x, y, z).
  """

  shape: str
  size: float
  orientation: Float[np.ndarray, "t 4"]


def silhouette_offsets(
  solid: KnownSolid,
  positions: Float[np.ndarray, "t 3"],
  intrinsics: Float[np.ndarray, "v 3 3"],
  camera_from_world: Float[np.ndarray, "v 3 4"],
  image_shape: tuple[int, int],
) -> Float[np.ndarray, "v t 2"]:
  """Returns centroid minus projected origin, pixels (x, y).

  Args:
    solid: What is seen.
    positions: Where its origin is, metres.
    intrinsics: Of the cameras, pixels.
    camera_from_world: Rotation and translation, metres.
    image_shape: Height and width, pixels: only what is inside counts.

  Returns:
    NaN where the solid is not wholly in front of the camera, none of it is in
    the image, or the position is NaN.
  """
  local = solids.outline_points(solid.shape) * float(solid.size)
  turned = rotations.matrix_from_quaternion(solid.orientation)
  points = np.einsum("tij,nj->tni", turned, local) + positions[:, None]
  points = np.concatenate([positions[:, None], points], axis=1)
  rotation = camera_from_world[:, :, :3].astype(float)
  translation = camera_from_world[:, :, 3].astype(float)
  in_camera = np.einsum("vij,tnj->vtni", rotation, points)
  in_camera += translation[:, None, None]
  homogeneous = np.einsum("vij,vtnj->vtni", intrinsics, in_camera)
  depth = in_camera[..., 2]
  is_in_front = (depth > MIN_DEPTH_M).all(-1)
  depth = np.where(is_in_front[..., None], depth, np.nan)
  pixels = homogeneous[..., :2] / depth[..., None]
  origin, outline = pixels[:, :, 0], pixels[:, :, 1:]
  return _cut_centroids(_hulls(outline), image_shape) - origin


def _hulls(points) -> Float[np.ndarray, "v t m 2"]:
  """Corners of the convex hulls, in order; some more than once."""
  angles = np.arange(_NUM_DIRECTIONS) * 2 * np.pi / _NUM_DIRECTIONS
  directions = np.stack([np.cos(angles), np.sin(angles)])
  reach = np.nan_to_num(points) @ directions  # (v, t, n, m)
  farthest = reach.argmax(2)
  return np.take_along_axis(points, farthest[..., None], axis=2)


def _cut_centroids(corners, image_shape) -> Float[np.ndarray, "v t 2"]:
  """Centroids of the parts of polygons (v, t, m, 2) inside the image."""
  high = np.array(image_shape[::-1]) - 0.5
  low = np.array([-0.5, -0.5])
  is_cut = ((corners < low) | (corners > high)).any((-2, -1))
  centroids = _centroids(corners)
  if is_cut.any():
    cut = corners[is_cut]
    for axis in (0, 1):
      for edge in (low[axis], high[axis]):
        cut = _with_crossings(cut, axis, edge)
    # Beyond the edge the polygon now runs along it and has no area.
    centroids[is_cut] = _centroids(np.clip(cut, low, high))
  return centroids


def _with_crossings(corners, axis, edge):
  """Adds a corner in the middle of each side: where it crosses the edge."""
  following = np.roll(corners, -1, axis=-2)
  start, end = corners[..., axis], following[..., axis]
  is_crossing = (start < edge) != (end < edge)
  step = np.where(is_crossing, end - start, 1)
  share = np.where(is_crossing, (edge - start) / step, 0)[..., None]
  between = corners + share * (following - corners)
  paired = np.stack([corners, between], axis=-2)
  return paired.reshape(*corners.shape[:-2], -1, 2)


def _centroids(corners):
  """Centroids of polygons (..., m, 2); NaN where there is no area."""
  first = corners[..., :1, :]
  a = corners - first
  b = np.roll(a, -1, axis=-2)
  double = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
  area = double.sum(-1) / 2
  area = np.where(np.abs(area) > _MIN_AREA_PX, area, np.nan)
  moments = ((a + b) * double[..., None]).sum(-2) / 6
  return moments / area[..., None] + first[..., 0, :]
