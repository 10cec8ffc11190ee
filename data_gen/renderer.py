"""Ray casting of one solid: all frames of all cameras of a scene at once.

Shading is Lambert's law with one light far away and ambient light: a surface
whose normal makes an angle a with the light shows its colour times AMBIENT +
(1 - AMBIENT) max(0, cos a). A pixel is the mean of 3 x 3 rays. Where its
neighbourhood shows a single, smoothly shaded face, the ray through the
centre stands for all nine. Conventions: see `data_gen.cameras`.
"""

import dataclasses

import numpy as np

from data_gen import cameras as cameras_lib
from data_gen import colors, solids

# Unit vector towards the light, in the world.
LIGHT = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
_OFFSETS = np.stack(
  np.meshgrid([-1 / 3, 0, 1 / 3], [-1 / 3, 0, 1 / 3], indexing="ij")
).reshape(2, 9)
# So far from its tip, a cone may pass between pixel centres or bend too much.
_TIP_LENGTH_PX = 6.0
_TIP_MARK = 127
# Frames cast together: few enough for the processor's cache.
_CHUNK_FRAMES = 8


@dataclasses.dataclass(frozen=True)
class Solid:
  """A solid and where it is in each of T frames.

  Attributes:
    shape: One of `schema.SHAPES`.
    size: Scale.
    trajectory: Its origin in the world, (T, 3), metres.
    rotations: `world_from_local`, (T, 3, 3).
    color: RGB, (3,), in [0, 1].
  """

  shape: str
  size: float
  trajectory: np.ndarray
  rotations: np.ndarray
  color: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rays:
  """Rays of all F = V * T frames of a scene, in the solid's local frame.

  Attributes:
    origins: (F, 3); the optical centres.
    local_from_pixel: (F, 3, 3); times (x, y, 1) it is a ray's direction.
    light: (F, 3); the unit vector towards the light.
    outlines: (F, N, 2), pixels; their hull is the silhouette (a polygon in
      place of a round rim).
  """

  origins: np.ndarray
  local_from_pixel: np.ndarray
  light: np.ndarray
  outlines: np.ndarray


def make_rays(solid: Solid, cameras: cameras_lib.Cameras) -> Rays:
  """Moves cameras and light into the local frame of the solid, view-major."""
  points = solids.outline_points(solid.shape, num_rim_points=32) * solid.size
  points = np.einsum("tij,nj->tni", solid.rotations, points)
  points = points + solid.trajectory[:, None]
  outlines = [
    cameras_lib.project(points, k, matrix)
    for k, matrix in zip(
      cameras.intrinsics, cameras.camera_from_world, strict=True
    )
  ]
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
  return Rays(
    origins=origins.reshape(num_frames, 3),
    local_from_pixel=local_from_pixel.reshape(num_frames, 3, 3),
    light=np.tile(light, (len(outlines), 1)),
    outlines=np.stack(outlines).reshape(num_frames, -1, 2),
  )


def cast_grid(shape: str, rays: Rays, frames, xs, ys):
  """Casts a grid of rays in some frames; see `solids.cast` for the results.

  Args:
    shape: One of `schema.SHAPES`.
    rays: The scene's rays.
    frames: Numbers of the frames, (G,).
    xs: Columns, (G, w), pixels.
    ys: Rows, (G, h), pixels.

  Returns:
    is_hit, face, cosine: (G, h, w) each.
  """
  matrix = rays.local_from_pixel[frames]
  directions = [
    (matrix[:, i, 0, None] * xs)[:, None, :]
    + (matrix[:, i, 1, None] * ys + matrix[:, i, 2, None])[:, :, None]
    for i in range(3)
  ]
  origins = rays.origins[frames].T[:, :, None, None]
  return solids.cast(
    shape, origins, directions, rays.light[frames].T[:, :, None, None]
  )


def render(
  solid: Solid,
  cameras: cameras_lib.Cameras,
  background: np.ndarray,
  *,
  is_adaptive: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
  """Renders a scene.

  Args:
    solid: The object; it must be in front of all cameras.
    cameras: V cameras.
    background: RGB of the plain background, (3,), in [0, 1].
    is_adaptive: If false, nine rays go through every pixel near the object:
      slower, and the reference for the adaptive way.

  Returns:
    frames: uint8 (V, T, H, W, 3).
    masks: uint8 (V, T, H, W); 1 where the ray through a pixel's centre hits
      the object, else 0.
  """
  size = cameras.image_size
  num_views, num_frames = len(cameras.intrinsics), len(solid.trajectory)
  level = np.rint(background * 255).astype(np.uint8)
  frames = np.empty((num_views * num_frames, size, size, 3), np.uint8)
  # Whole rows at once: ten times as fast as three bytes at a time.
  frames.reshape(-1, 3 * size)[:] = np.tile(level, size)
  masks = np.zeros(frames.shape[:-1], np.uint8)

  rays = make_rays(solid, cameras)
  for first in range(0, len(frames), _CHUNK_FRAMES):
    chunk = np.arange(first, min(first + _CHUNK_FRAMES, len(frames)))
    shown, xs, ys = _boxes(rays.outlines, chunk, size)
    if not shown.size:
      continue
    is_hit, shade, coverage = _cast_boxes(
      solid, rays, shown, xs, ys, is_adaptive
    )
    # The boxes reach one pixel over the edges of the image.
    is_row_inside = (ys >= 0) & (ys < size)
    is_column_inside = (xs >= 0) & (xs < size)
    is_painted = is_row_inside[:, :, None] & is_column_inside[:, None, :]
    is_painted &= coverage > 0
    grid, row, column = np.nonzero(is_painted)
    place = (shown[grid], ys[grid, row], xs[grid, column])
    values = shade[is_painted][:, None] * solid.color
    values += (1 - coverage[is_painted])[:, None] * background
    frames[place] = np.rint(values * 255)
    masks[place] = is_hit[is_painted]
  shape = (num_views, num_frames, size, size)
  return frames.reshape(*shape, 3), masks.reshape(shape)


def _cast_boxes(solid, rays, shown, xs, ys, is_adaptive):
  """Returns hits of the centre rays, mean shade and coverage, (G, h, w)."""
  is_hit, face, cosine = cast_grid(solid.shape, rays, shown, xs, ys)
  shade = np.where(is_hit, _shade(cosine), 0.0)
  coverage = is_hit.astype(float)
  key = 2 * face + (is_hit & (cosine > 0))
  if solid.shape == "cone":
    _mark_tips(key, rays.outlines[shown], xs, ys)
  is_mixed = _differs_from_neighbours(key) if is_adaptive else key >= 0
  _refine(solid.shape, rays, shown, xs, ys, is_mixed, shade, coverage)
  return is_hit, shade, coverage


def _shade(cosine):
  return colors.AMBIENT + (1 - colors.AMBIENT) * np.maximum(cosine, 0)


def _boxes(outlines, chunk, image_size):
  """Finds equal boxes of pixels that hold the silhouettes of some frames.

  Returns:
    shown: Frames whose silhouette may reach the image, (G,).
    xs, ys: Columns (G, w) and rows (G, h) of the boxes, in [-1, image_size].
  """
  # A polygon of 32 corners lies up to 0.5% of the radius inside its circle.
  low = np.floor(outlines[chunk].min(1)).astype(int) - 2
  high = np.ceil(outlines[chunk].max(1)).astype(int) + 2
  is_shown = ((high >= 0) & (low < image_size)).all(-1)
  low = np.clip(low[is_shown], -1, image_size)
  high = np.clip(high[is_shown], -1, image_size)
  shown = chunk[is_shown]
  if not shown.size:
    return shown, None, None
  width, height = (high - low).max(0) + 1
  last = np.array([image_size + 1 - width, image_size + 1 - height])
  low = np.minimum(low, last)
  xs = low[:, :1] + np.arange(width)
  ys = low[:, 1:] + np.arange(height)
  return shown, xs, ys


def _mark_tips(key, outlines, xs, ys):
  """Marks the pixels near the tips of cones in `key`, in place."""
  tip = outlines[:, 0]
  axis = outlines[:, 1:].mean(1) - tip
  length = np.linalg.norm(axis, axis=-1, keepdims=True)
  steps = np.arange(0, _TIP_LENGTH_PX + 0.5, 0.5)
  steps = np.minimum(steps, length)  # (G, steps)
  points = tip[:, None] + steps[..., None] * (axis / length)[:, None]
  columns = np.rint(points[..., 0] - xs[:, :1]).astype(int)
  rows = np.rint(points[..., 1] - ys[:, :1]).astype(int)
  is_in = (columns >= 0) & (columns < xs.shape[1])
  is_in &= (rows >= 0) & (rows < ys.shape[1])
  grid = np.broadcast_to(np.arange(len(key))[:, None], columns.shape)
  key[grid[is_in], rows[is_in], columns[is_in]] = _TIP_MARK


def _differs_from_neighbours(key):
  """Whether any of a pixel's 8 neighbours has another key, (G, h, w)."""
  padded = np.pad(key, ((0, 0), (0, 0), (1, 1)), mode="edge")
  parts = [padded[:, :, i : i + key.shape[2]] for i in range(3)]
  low = np.minimum(np.minimum(parts[0], parts[1]), parts[2])
  high = np.maximum(np.maximum(parts[0], parts[1]), parts[2])
  low = np.pad(low, ((0, 0), (1, 1), (0, 0)), mode="edge")
  high = np.pad(high, ((0, 0), (1, 1), (0, 0)), mode="edge")
  rows = key.shape[1]
  parts = [low[:, i : i + rows] for i in range(3)]
  low = np.minimum(np.minimum(parts[0], parts[1]), parts[2])
  parts = [high[:, i : i + rows] for i in range(3)]
  high = np.maximum(np.maximum(parts[0], parts[1]), parts[2])
  return low != high


def _refine(shape, rays, shown, xs, ys, is_mixed, shade, coverage):
  """Replaces the chosen pixels by the means over nine rays, in place."""
  grid, row, column = np.nonzero(is_mixed)
  if not grid.size:
    return
  frame = shown[grid]
  matrix = rays.local_from_pixel[frame].transpose(1, 2, 0)[..., None]
  x = xs[grid, column][:, None] + _OFFSETS[1]
  y = ys[grid, row][:, None] + _OFFSETS[0]
  directions = [m[0] * x + m[1] * y + m[2] for m in matrix]
  is_hit, _, cosine = solids.cast(
    shape,
    rays.origins[frame].T[..., None],
    directions,
    rays.light[frame].T[..., None],
  )
  shade[is_mixed] = np.where(is_hit, _shade(cosine), 0.0).mean(-1)
  coverage[is_mixed] = is_hit.mean(-1)
