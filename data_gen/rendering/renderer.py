"""Ray casting of solids: all frames of all cameras of a scene.

Shading is Lambert's law with one light far away and ambient light: a surface
whose normal makes an angle a with the light shows its colour times AMBIENT +
(1 - AMBIENT) max(0, cos a). A pixel is the mean of 3 x 3 rays, each of which
shows the nearest solid that it hits, else the background. Where a pixel's
neighbourhood shows a single face whose shade hardly bends, the ray through the
centre stands for all nine. Conventions: see `data_gen.rendering.cameras`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_gen.rendering import cameras as cameras_lib
from data_gen.rendering import colors
from data_gen.rendering.rays import (
  SAME_DEPTH,
  Solid,
  cast_grid,
  cast_points,
  make_rays,
)

_OFFSETS = np.stack(
  np.meshgrid([-1 / 3, 0, 1 / 3], [-1 / 3, 0, 1 / 3], indexing="ij")
).reshape(2, 9)
# So far from its tip, a cone may pass between pixel centres or bend too much.
_TIP_LENGTH_PX = 6.0
_TIP_MARK = 15
_NUM_KEYS = 16  # Of a solid: faces, lit or not, and the mark.
_ROUND = ("cylinder", "cone")  # All other faces have one shade.
# Second difference of the shade from which a pixel gets nine rays: a 27th of
# it is half a level.
_MAX_BEND = 27 * 0.5 / 255
# Frames cast together: few enough for the processor's cache.
_CHUNK_FRAMES = 8
# Pixels that get nine rays together: 1000 need arrays of 72 kB, and from 128
# kB on the C library returns each to the system, a third slower in all.
_BLOCK_PIXELS = 1000


@dataclasses.dataclass(frozen=True)
class Rendering:
  """What the cameras see.

  Attributes:
    frames: uint8 (V, T, H, W, 3).
    masks: uint8 (V, T, H, W); 0, or i + 1 where the ray through the pixel's
      centre hits solid number i first.
    depths: float32 (V, T, H, W), metres along the camera's axis to that hit; 0
      where there is none. None if not asked for.
  """

  frames: np.ndarray
  masks: np.ndarray
  depths: np.ndarray | None = None


@dataclasses.dataclass
class _Window:
  """Rays through the centres of equal boxes of pixels in some frames.

  Attributes:
    frames: Numbers of the frames, (G,).
    xs: Columns, (G, w), in [-1, image_size].
    ys: Rows, (G, h), in [-1, image_size].
    owner: Number of the solid that is hit first, int16 (G, h, w); -1 if none.
    key: Number of solid and face, which decides on smoothness, int16.
    shade: Of the hit, (G, h, w); 0 where there is none.
    depth: Of the hit, (G, h, w), metres; of no meaning where there is none.
  """

  frames: np.ndarray
  xs: np.ndarray
  ys: np.ndarray
  owner: np.ndarray
  key: np.ndarray
  shade: np.ndarray
  depth: np.ndarray

  def insert(self, layer: "_Window") -> None:
    """Puts the hits of a layer where they are nearer than those here."""
    places = np.searchsorted(self.frames, layer.frames)
    for number, place in enumerate(places):
      row = int(layer.ys[number, 0] - self.ys[place, 0])
      column = int(layer.xs[number, 0] - self.xs[place, 0])
      height, width = layer.key.shape[1:]
      box = (place, slice(row, row + height), slice(column, column + width))
      is_nearer = (layer.owner[number] >= 0) & (
        (self.owner[box] < 0)
        | (layer.depth[number] < self.depth[box] * SAME_DEPTH)
      )
      # The mark of a tip stays, whatever is in front.
      is_marked = layer.key[number] % _NUM_KEYS == _TIP_MARK
      for name in ("owner", "shade", "depth"):
        mine, new = getattr(self, name)[box], getattr(layer, name)[number]
        np.copyto(mine, new, where=is_nearer)
      np.copyto(self.key[box], layer.key[number], where=is_nearer | is_marked)


def render(
  scene: Sequence[Solid],
  cameras: cameras_lib.Cameras,
  background: np.ndarray,
  *,
  with_depths: bool = False,
  is_adaptive: bool = True,
) -> Rendering:
  """Renders a scene.

  Args:
    scene: The solids; they must be in front of all cameras. Of two that are
      equally far, the first one is seen.
    cameras: V cameras.
    background: RGB in [0, 1]: of all pixels, (3,), or of each of all frames,
      (V, T, H, W, 3).
    with_depths: Whether to return depths.
    is_adaptive: If false, nine rays go through every pixel near a solid:
      slower, and the reference for the adaptive way.
  """
  size = cameras.image_size
  num_views, num_frames = len(cameras.intrinsics), len(scene[0].trajectory)
  shape = (num_views, num_frames, size, size)
  canvas = _Canvas(shape, background, with_depths)
  cast = [(number, s, make_rays(s, cameras)) for number, s in enumerate(scene)]
  has_round = any(solid.shape in _ROUND for solid in scene)
  for first in range(0, num_views * num_frames, _CHUNK_FRAMES):
    last = min(first + _CHUNK_FRAMES, num_views * num_frames)
    window = _cast_chunk(cast, np.arange(first, last), size)
    if window is not None:
      is_mixed = _is_mixed(window, is_adaptive)
      if is_adaptive and has_round:
        _mark_bent(window.shade, is_mixed)
      canvas.paint_smooth(window, is_mixed, scene)
      canvas.paint_mixed(window, is_mixed, cast)
  depths = canvas.depths
  return Rendering(
    canvas.frames.reshape(*shape, 3),
    canvas.masks.reshape(shape),
    None if depths is None else depths.reshape(shape),
  )


def shade_of(cosine: np.ndarray) -> np.ndarray:
  """Share of its colour that a face shows; `cosine` is towards the light."""
  return colors.AMBIENT + (1 - colors.AMBIENT) * np.maximum(cosine, 0)


class _Canvas:
  """The images of a scene while they are painted, F = V * T frames."""

  def __init__(self, shape, background, with_depths):
    num_frames, size = shape[0] * shape[1], shape[2]
    self._size = size
    self._background = background
    self.frames = np.empty((num_frames, size, size, 3), np.uint8)
    if background.ndim == 1:
      level = np.rint(background * 255).astype(np.uint8)
      # Whole rows at once: ten times as fast as three bytes at a time.
      self.frames.reshape(-1, 3 * size)[:] = np.tile(level, size)
    else:
      self._background = background.reshape(self.frames.shape)
      self.frames[:] = np.rint(self._background * 255)
    self.masks = np.zeros(self.frames.shape[:-1], np.uint8)
    self.depths = None
    if with_depths:
      self.depths = np.zeros(self.masks.shape, np.float32)

  def paint_smooth(self, window, is_mixed, scene) -> None:
    """Paints the hits of the centre rays."""
    is_hit = window.owner >= 0
    is_hit &= self._is_inside(window)
    chosen, place = _places(window, is_hit)
    self.masks[place] = window.owner[chosen] + 1
    if self.depths is not None:
      self.depths[place] = window.depth[chosen]
    is_smooth = ~is_mixed[chosen]
    chosen, place = (
      tuple(axis[is_smooth] for axis in axes) for axes in (chosen, place)
    )
    palette = np.stack([solid.color for solid in scene])
    values = window.shade[chosen][:, None] * palette[window.owner[chosen]]
    self.frames[place] = np.rint(values * 255)

  def paint_mixed(self, window, is_mixed, cast) -> None:
    """Paints the pixels that need nine rays."""
    _, places = _places(window, is_mixed & self._is_inside(window))
    for first in range(0, len(places[0]), _BLOCK_PIXELS):
      block = slice(first, first + _BLOCK_PIXELS)
      self._paint_block(tuple(axis[block] for axis in places), cast)

  def _paint_block(self, place, cast) -> None:
    values, coverage = _mix(place, cast)
    if self._background.ndim == 1:
      background = self._background
    else:
      background = self._background[place]
    values += (1 - coverage)[:, None] * background
    self.frames[place] = np.rint(values * 255)

  def _is_inside(self, window):
    """Whether pixels are inside the image; boxes reach one pixel beyond."""
    is_row_inside = (window.ys >= 0) & (window.ys < self._size)
    is_column_inside = (window.xs >= 0) & (window.xs < self._size)
    return is_row_inside[:, :, None] & is_column_inside[:, None, :]


def _places(window, is_chosen):
  """Returns the chosen pixels' places in the window, and in the images."""
  chosen = np.nonzero(is_chosen)
  grid, row, column = chosen
  place = (
    window.frames[grid],
    window.ys[grid, row],
    window.xs[grid, column],
  )
  return chosen, place


def _cast_chunk(cast, chunk, image_size) -> _Window | None:
  """Casts the centre rays of a chunk of frames at all solids."""
  layers = []
  for number, solid, rays in cast:
    frames = chunk[rays.is_there[chunk]]
    shown, xs, ys = _boxes(rays, frames, image_size)
    if shown.size:
      layers.append(_cast_layer(number, solid, rays, shown, xs, ys))
  if len(layers) < 2:
    return layers[0] if layers else None
  return _merge(layers, chunk)


def _merge(layers, chunk) -> _Window:
  """Returns a window with the nearest hits of several layers.

  It is one box, which holds those of all solids in all frames of the chunk.
  """
  first_x, first_y = (
    min(int(getattr(layer, axis).min()) for layer in layers)
    for axis in ("xs", "ys")
  )
  last_x, last_y = (
    max(int(getattr(layer, axis).max()) for layer in layers)
    for axis in ("xs", "ys")
  )
  xs = np.tile(np.arange(first_x, last_x + 1), (len(chunk), 1))
  ys = np.tile(np.arange(first_y, last_y + 1), (len(chunk), 1))
  shape = (len(chunk), ys.shape[1], xs.shape[1])
  window = _Window(
    frames=chunk,
    xs=xs,
    ys=ys,
    owner=np.full(shape, -1, np.int16),
    key=np.zeros(shape, np.int16),
    shade=np.zeros(shape),
    depth=np.zeros(shape),
  )
  for layer in layers:
    window.insert(layer)
  return window


def _cast_layer(number, solid, rays, frames, xs, ys) -> _Window:
  """Casts the centre rays of the boxes of one solid."""
  hits = cast_grid(solid, rays, frames, xs, ys)
  face = 2 * hits.face.astype(np.int16) + (hits.is_hit & (hits.cosine > 0))
  key = np.where(hits.is_hit, _NUM_KEYS * number + face, 0)
  if solid.shape == "cone":
    mark = _NUM_KEYS * number + _TIP_MARK
    _mark_tips(key, mark, rays.outlines[frames], xs, ys)
  return _Window(
    frames=frames,
    xs=xs,
    ys=ys,
    owner=np.where(hits.is_hit, number, -1).astype(np.int16),
    key=key,
    shade=np.where(hits.is_hit, shade_of(hits.cosine), 0.0),
    depth=hits.distance * solid.size,
  )


def _boxes(rays, frames, image_size):
  """Finds equal boxes of pixels that hold the silhouettes of some frames.

  Returns:
    shown: Frames whose silhouette may reach the image, (G,).
    xs, ys: Columns (G, w) and rows (G, h) of the boxes, in [-1, image_size].
  """
  # A polygon of 32 corners lies up to 0.5% of the radius inside its circle.
  low = np.floor(rays.low[frames]).astype(int) - 2
  high = np.ceil(rays.high[frames]).astype(int) + 2
  is_shown = ((high >= 0) & (low < image_size)).all(-1)
  low = np.clip(low[is_shown], -1, image_size)
  high = np.clip(high[is_shown], -1, image_size)
  shown = frames[is_shown]
  if not shown.size:
    return shown, None, None
  width, height = (high - low).max(0) + 1
  last = np.array([image_size + 1 - width, image_size + 1 - height])
  low = np.minimum(low, last)
  xs = low[:, :1] + np.arange(width)
  ys = low[:, 1:] + np.arange(height)
  return shown, xs, ys


def _mark_tips(key, mark, outlines, xs, ys):
  """Writes `mark` to the pixels near the tips of cones in `key`, in place."""
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
  key[grid[is_in], rows[is_in], columns[is_in]] = mark


def _is_mixed(window, is_adaptive):
  """Whether any of a pixel's 8 neighbours has another key, (G, h, w)."""
  key = window.key
  if not is_adaptive:
    return np.ones(key.shape, bool)
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


def _mark_bent(shade, is_mixed) -> None:
  """Marks where the shade bends: the centre is not the mean there.

  The mean of nine rays is the centre's shade plus 1/27 of the sum of both
  second differences, to second order.
  """
  rows = shade[:, 2:] + shade[:, :-2] - 2 * shade[:, 1:-1]
  is_mixed[:, 1:-1] |= np.abs(rows) > _MAX_BEND
  columns = shade[:, :, 2:] + shade[:, :, :-2] - 2 * shade[:, :, 1:-1]
  is_mixed[:, :, 1:-1] |= np.abs(columns) > _MAX_BEND


def _mix(place, cast):
  """Casts nine rays for each of M pixels; `place` is (frame, row, column).

  Returns:
    Mean colour of the hits, with 0 for rays that hit nothing, (M, 3), and the
    share of rays that hit something, (M,).
  """
  frame, row, column = place
  x = column[:, None] + _OFFSETS[1]
  y = row[:, None] + _OFFSETS[0]
  if len(cast) == 1:  # A tenth faster than by depth.
    ((_, solid, rays),) = cast
    hits = cast_points(solid, rays, frame, x, y)
    mean = np.where(hits.is_hit, shade_of(hits.cosine), 0.0).mean(-1)
    return mean[:, None] * solid.color, hits.is_hit.mean(-1)
  owner = np.full(x.shape, -1)
  shade, depth = np.zeros(x.shape), np.full(x.shape, np.inf)
  for number, solid, rays in cast:
    is_near = rays.is_there[frame] & (column >= rays.low[frame, 0] - 2)
    is_near &= column <= rays.high[frame, 0] + 2
    is_near &= row >= rays.low[frame, 1] - 2
    is_near &= row <= rays.high[frame, 1] + 2
    near = np.flatnonzero(is_near)
    hits = cast_points(solid, rays, frame[near], x[near], y[near])
    found = np.where(hits.is_hit, hits.distance * solid.size, np.inf)
    is_nearer = found < depth[near] * SAME_DEPTH
    owner[near] = np.where(is_nearer, number, owner[near])
    shade[near] = np.where(is_nearer, shade_of(hits.cosine), shade[near])
    depth[near] = np.where(is_nearer, found, depth[near])
  values = np.zeros((len(x), 3))
  for number, solid, _ in cast:
    mean = np.where(owner == number, shade, 0.0).mean(-1)
    values += mean[:, None] * solid.color
  return values, (owner >= 0).mean(-1)
