"""Flat figures with a soft edge, whose place can be read from the pixels.

A pixel is the mean of the figure under a tent two pixels wide. Tents sum to 1
everywhere and so do their places: the mean of all pixel centres, weighted by
what is seen, is the centre of the figure exactly, wherever it is between the
pixels (partition of unity and linear reproduction, I. J. Schoenberg, 1946).
Under boxes, or as nine rays a pixel see it, it would be off by 0.02 px.
"""

import functools
import math

import numpy as np

from data_gen import schema
from data_gen.rendering import solids

SHAPES = schema.PRESETS["phyworld_uniform"].shapes
# Of a disc with the area of the figure at scale 1, by shape.
_RADII = {
  "circle": solids.CIRCLE_RADIUS,
  "square": solids.SQUARE_SIDE / math.sqrt(math.pi),
}
_FINE_CELLS = 256  # Along a side of the image, at least.
_MIN_CELLS, _MAX_CELLS = 2, 8  # Along a side of a pixel.


def radius_of(shape: str, scale: float) -> float:
  """Returns the radius of a disc with the area of a figure of that scale."""
  return _RADII[shape] * scale


def scale_of(shape: str, radius: float) -> float:
  """Returns the scale of a figure with the area of a disc."""
  return radius / _RADII[shape]


def cover(
  shape: str, centers: np.ndarray, radius: float, image_size: int
) -> np.ndarray:
  """Returns the share of a figure in each pixel of some frames.

  Args:
    shape: One of `SHAPES`. A square has the area of the disc, and upright
      sides.
    centers: Of the figure, x right and y down, (T, 2), pixels; 0 is the middle
      of the first one.
    radius: Of the disc, pixels.
    image_size: Height and width, pixels.

  Returns:
    (T, H, W), in [0, 1].
  """
  num_frames = len(centers)
  reach = math.ceil(radius) + 2  # The tent's own reach included.
  width = 2 * reach + 1
  corners = np.rint(centers).astype(int) - reach  # (T, 2)
  tents, places = _tents(width, _num_cells(image_size))
  x, y = (places - (centers - corners)[:, axis, None] for axis in range(2))
  if shape == "circle":
    distance = np.hypot(x[:, None, :], y[:, :, None])
    inside = _edge(radius - distance, places)
  else:
    half = radius * math.sqrt(math.pi) / 2
    inside = _edge(half - np.abs(y), places)[:, :, None]
    inside = inside * _edge(half - np.abs(x), places)[:, None, :]
  window = tents @ inside @ tents.T
  # What lies beside the image is cut off.
  result = np.zeros((num_frames, image_size, image_size))
  for frame, (left, top) in enumerate(corners):
    rows, columns = (
      slice(max(start, 0), max(min(start + width, image_size), start, 0))
      for start in (top, left)
    )
    result[frame, rows, columns] = window[
      frame,
      rows.start - top : rows.stop - top,
      columns.start - left : columns.stop - left,
    ]
  return np.clip(result, 0.0, 1.0)


def contains(
  shape: str, centers: np.ndarray, radius: float, image_size: int
) -> np.ndarray:
  """Whether the middles of pixels are in a figure, bool (T, H, W).

  Args: as of `cover`.
  """
  pixels = np.arange(image_size)
  x, y = (pixels - centers[:, axis, None] for axis in range(2))
  if shape == "circle":
    return np.hypot(x[:, None, :], y[:, :, None]) <= radius
  half = radius * math.sqrt(math.pi) / 2
  return (np.abs(y) <= half)[:, :, None] & (np.abs(x) <= half)[:, None, :]


def _num_cells(image_size: int) -> int:
  cells = -(-_FINE_CELLS // image_size)
  return min(max(cells, _MIN_CELLS), _MAX_CELLS)


@functools.lru_cache(maxsize=64)
def _tents(width: int, num_cells: int) -> tuple[np.ndarray, np.ndarray]:
  """Weights of fine cells in pixels (width, N), and places of the cells."""
  places = (np.arange(width * num_cells) + 0.5) / num_cells - 0.5
  distance = np.abs(np.arange(width)[:, None] - places)
  return np.maximum(1 - distance, 0.0) / num_cells, places


def _edge(depth: np.ndarray, places: np.ndarray) -> np.ndarray:
  """Share of a fine cell that is inside, by how deep its middle is."""
  cell = places[1] - places[0]
  return np.clip(depth / cell + 0.5, 0.0, 1.0)
