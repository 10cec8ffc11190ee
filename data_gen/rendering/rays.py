"""Solids in motion, and the rays of all cameras in a solid's own frame.

Frames are numbered view-major: frame t of view v is number v * T + t.
Conventions: see `data_gen.rendering.cameras`.
"""

import dataclasses

import numpy as np

from data_gen.rendering import cameras as cameras_lib
from data_gen.rendering import solids

# Unit vector towards the light, in the world.
LIGHT = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])

# Depths that differ by less than rounding count as the same: times this, one is
# still larger than another only if it really is.
SAME_DEPTH = 1 - 1e-12


@dataclasses.dataclass(frozen=True)
class Solid:
  """A solid and where it is in each of T frames.

  Attributes:
    shape: One of the shapes of `schema.PRESETS`.
    size: Scale.
    trajectory: Its origin in the world, (T, 3), metres.
    rotations: `world_from_local`, (T, 3, 3).
    color: RGB, (3,), in [0, 1].
    first_frame: From when on it is there.
    last_frame: The last frame with it; None for that of the clip.
  """

  shape: str
  size: float
  trajectory: np.ndarray
  rotations: np.ndarray
  color: np.ndarray
  first_frame: int = 0
  last_frame: int | None = None

  @property
  def is_there(self) -> np.ndarray:
    """Whether the solid is there, bool (T,)."""
    times = np.arange(len(self.trajectory))
    last = times[-1] if self.last_frame is None else self.last_frame
    return (times >= self.first_frame) & (times <= last)

  def to_world(self, points: np.ndarray) -> np.ndarray:
    """Returns points (N, 3) of the local frame in the world, (T, N, 3)."""
    turned = np.einsum("tij,nj->tni", self.rotations, points * self.size)
    return turned + self.trajectory[:, None]


@dataclasses.dataclass(frozen=True)
class Rays:
  """Rays of all F = V * T frames of a scene, in the solid's local frame.

  Attributes:
    origins: (F, 3); the optical centres.
    local_from_pixel: (F, 3, 3); times (x, y, 1) it is a ray's direction.
    light: (F, 3); the unit vector towards the light.
    outlines: (F, N, 2), pixels; their hull is the silhouette (a polygon in
      place of a round rim).
    low, high: Corners of the outlines' boxes, (F, 2), pixels.
    is_there: Whether the solid is there, (F,).
    is_in_front: Whether all of it is in front of the camera, (F,).
  """

  origins: np.ndarray
  local_from_pixel: np.ndarray
  light: np.ndarray
  outlines: np.ndarray
  low: np.ndarray
  high: np.ndarray
  is_there: np.ndarray
  is_in_front: np.ndarray


def make_rays(solid: Solid, cameras: cameras_lib.Cameras) -> Rays:
  """Moves cameras and light into the local frame of the solid."""
  points = solid.to_world(solids.outline_points(solid.shape, 32))
  pairs = list(zip(cameras.intrinsics, cameras.camera_from_world, strict=True))
  with np.errstate(divide="ignore", invalid="ignore"):
    outlines = [cameras_lib.project(points, *pair) for pair in pairs]
  depths = np.stack([points @ m[2, :3] + m[2, 3] for _, m in pairs])
  offsets = cameras.positions[:, None] - solid.trajectory
  origins = np.einsum("tji,vtj->vti", solid.rotations, offsets) / solid.size
  world_from_pixel = np.einsum(
    "vji,vjk->vik", cameras.rotations, np.linalg.inv(cameras.intrinsics)
  )
  local_from_pixel = np.einsum(
    "tji,vjk->vtik", solid.rotations, world_from_pixel
  )
  light = np.einsum("tji,j->ti", solid.rotations, LIGHT)
  num_frames = origins.shape[0] * origins.shape[1]
  outlines = np.stack(outlines).reshape(num_frames, -1, 2)
  return Rays(
    origins=origins.reshape(num_frames, 3),
    local_from_pixel=local_from_pixel.reshape(num_frames, 3, 3),
    light=np.tile(light, (len(pairs), 1)),
    outlines=outlines,
    low=outlines.min(1),
    high=outlines.max(1),
    is_there=np.tile(solid.is_there, len(pairs)),
    is_in_front=(depths > cameras_lib.MIN_DEPTH_M).all(-1).reshape(-1),
  )


def cast_grid(solid: Solid, rays: Rays, frames, xs, ys) -> solids.Hits:
  """Casts a grid of rays in some frames.

  Args:
    solid: What they may hit.
    rays: Its rays.
    frames: Numbers of the frames, (G,).
    xs: Columns, (G, w), pixels.
    ys: Rows, (G, h), pixels.

  Returns:
    Arrays (G, h, w).
  """
  matrix = rays.local_from_pixel[frames]
  directions = [
    (matrix[:, i, 0, None] * xs)[:, None, :]
    + (matrix[:, i, 1, None] * ys + matrix[:, i, 2, None])[:, :, None]
    for i in range(3)
  ]
  origins = rays.origins[frames].T[:, :, None, None]
  light = rays.light[frames].T[:, :, None, None]
  return solids.cast(solid.shape, origins, directions, light)


def cast_points(solid: Solid, rays: Rays, frames, xs, ys) -> solids.Hits:
  """Casts several rays for each of some pixels.

  Args:
    solid: What they may hit.
    rays: Its rays.
    frames: Numbers of the frames, (M,).
    xs: Columns, (M, n), pixels.
    ys: Rows, (M, n), pixels.

  Returns:
    Arrays (M, n).
  """
  matrix = rays.local_from_pixel[frames].transpose(1, 2, 0)[..., None]
  directions = [m[0] * xs + m[1] * ys + m[2] for m in matrix]
  return solids.cast(
    solid.shape,
    rays.origins[frames].T[..., None],
    directions,
    rays.light[frames].T[..., None],
  )
