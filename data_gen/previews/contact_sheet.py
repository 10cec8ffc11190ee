"""The contact sheet of `--preview`: first scenes, a row for each camera."""

import pathlib

import numpy as np
from PIL import Image

from data_gen import schema
from data_gen.scene_makers import make_scene
from data_gen.scenes.options import DatasetOptions

_NUM_COLUMNS = 8
_GAP_PX = 2
_GAP_LEVEL = 96
_MIN_TILE_PX = 96  # Smaller frames are enlarged by a whole factor.


def write(options: DatasetOptions, path: pathlib.Path) -> None:
  """Writes a PNG with a row for each camera of the first scenes."""
  split = next(s for s in options.splits if options.num_scenes(s))
  rows = []
  for index in range(min(options.preview, options.num_scenes(split))):
    frames = make_scene(options, split, index)[schema.FRAMES]
    chosen = np.linspace(0, options.num_frames - 1, _NUM_COLUMNS)
    rows += list(frames[:, np.rint(chosen).astype(int)])
  Image.fromarray(make_sheet(np.stack(rows))).save(path, format="PNG")


def make_sheet(tiles: np.ndarray) -> np.ndarray:
  """Lays out frames (rows, columns, H, W, 3) as one image (h, w, 3)."""
  factor = -(-_MIN_TILE_PX // tiles.shape[2])
  tiles = tiles.repeat(factor, axis=2).repeat(factor, axis=3)
  gap = ((0, 0), (0, 0), (0, _GAP_PX), (0, _GAP_PX), (0, 0))
  tiles = np.pad(tiles, gap, constant_values=_GAP_LEVEL)
  num_rows, num_columns, height, width, _ = tiles.shape
  sheet = tiles.transpose(0, 2, 1, 3, 4)
  return sheet.reshape(num_rows * height, num_columns * width, 3)
