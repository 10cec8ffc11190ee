"""Masks of an object, frame by frame: a folder of PNG files, or a video."""

import pathlib
import re
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.video_files import VideoFile

# In videos, whose compression makes black a little grey.
_VIDEO_THRESHOLD = 128


class Masks(Protocol):
  """Masks by the number of the frame."""

  num_frames: int

  def frames(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields masks, bool (height, width); `numbers` (n,) increase."""


def open_masks(path: pathlib.Path) -> Masks:
  """Opens masks.

  Raises:
    DataError: They cannot be read.
  """
  return MaskFolder(path) if path.is_dir() else MaskVideo(path)


class MaskFolder:
  """PNG files, one a frame, in the order of the numbers in their names.

  What is not black is the object.
  """

  def __init__(self, folder: pathlib.Path):
    """Finds the files; raises DataError if there are none."""
    self.paths = sorted(folder.glob("*.[pP][nN][gG]"), key=_natural_order)
    if not self.paths:
      raise DataError(f"{folder} has no PNG files.")
    self.num_frames = len(self.paths)

  def frames(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields masks; see `Masks`. Raises DataError for damaged files."""
    for number in numbers:
      path = self.paths[number]
      try:
        with Image.open(path) as image:
          yield _is_not_black(image)
      except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}).") from error


class MaskVideo:
  """A video; what is brighter than half is the object."""

  def __init__(self, path: pathlib.Path):
    """Opens the file; raises DataError if it cannot be read."""
    self._video = VideoFile(path, label=0)
    self.num_frames = self._video.num_frames

  def frames(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields masks; see `Masks`."""
    for image in self._video.frames(numbers):
      yield np.asarray(image).max(axis=-1) >= _VIDEO_THRESHOLD


def _is_not_black(image: Image.Image) -> np.ndarray:
  if image.mode in ("P", "PA", "LA", "RGBA"):  # What is transparent counts.
    image = image.convert("L" if image.mode == "LA" else "RGB")
  values = np.asarray(image)
  return values.any(axis=-1) if values.ndim == 3 else values > 0


def _natural_order(path: pathlib.Path) -> list[tuple[int, str]]:
  """Orders frame_2 before frame_10."""
  parts = re.findall(r"\d+|\D+", path.name)
  return [(int(x), "") if x.isdecimal() else (-1, x) for x in parts]
