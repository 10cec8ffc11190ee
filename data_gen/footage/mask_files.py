"""Masks of an object, frame by frame: a folder of PNG files, or a video.

What is the object, in a picture:
  with transparency that is not the same everywhere (a cut-out): what is opaque
  by half or more, whatever its colours;
  with a palette that has no black: what is not entry 0, as of label images;
  otherwise: what is not black, transparent parts being black.

In a video: what is brighter than half, or opaque by half of a cut-out. Where no
frame is so bright, and the codec loses nothing (FFV1 and the like): what is not
black, as of label images.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import pictures, rgb_images
from data_gen.files.folder_contents import visible_children
from data_gen.files.video_files import VideoFile

# In videos, whose compression makes black a little grey.
_VIDEO_THRESHOLD = 128
_OPAQUE = 128
_NUM_TOGETHER = 16  # Frames to look at, at a time.


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


def mask_paths(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the PNG files of a folder, but hidden ones, by their numbers."""
  return sorted(
    (p for p in visible_children(folder) if p.suffix.lower() == ".png"),
    key=_natural_order,
  )


def all_alike(masks: Masks) -> float | None:
  """Returns 0.0 if no frame has an object, 1.0 if none has anything else.

  None otherwise. All frames are looked at only if the first and some, evenly
  spread, are so.
  """
  found = None
  for numbers in _batches(masks.num_frames):
    for mask in masks.frames(numbers):
      share = float(mask.mean())
      if share not in (0.0, 1.0) or found not in (None, share):
        return None
      found = share
  return found


def _batches(num_frames: int) -> Iterator[np.ndarray]:
  """Yields the numbers of all frames, those that tell most first."""
  numbers = np.arange(num_frames)
  first, rest = numbers[:_NUM_TOGETHER], numbers[_NUM_TOGETHER:]
  count = min(len(rest), _NUM_TOGETHER)
  some = rest[np.arange(count) * len(rest) // max(count, 1)]
  rest = np.setdiff1d(rest, some)
  parts = [
    rest[i : i + _NUM_TOGETHER] for i in range(0, len(rest), _NUM_TOGETHER)
  ]
  yield from (part for part in (first, some, *parts) if len(part))


class MaskFolder:
  """PNG files, one a frame, in the order of the numbers in their names."""

  def __init__(self, folder: pathlib.Path):
    """Finds the files; raises DataError if there are none."""
    self.paths = mask_paths(folder)
    if not self.paths:
      raise DataError(f"{folder} has no PNG files.")
    self.num_frames = len(self.paths)

  def frames(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields masks; see `Masks`. Raises DataError for damaged files."""
    for number in numbers:
      path = self.paths[number]
      try:
        yield _is_object(pictures.read(path))
      except ValueError as error:
        raise DataError(f"{path} cannot be decoded ({error}).") from error


class MaskVideo:
  """A video of masks.

  Attributes:
    num_frames: Of the video.
    threshold: Level from which on, in [0, 255], a pixel is the object's.
  """

  def __init__(self, path: pathlib.Path):
    """Opens the file; raises DataError if it cannot be read."""
    self._video = VideoFile(path, label=0)
    self.num_frames = self._video.num_frames
    self.threshold = _VIDEO_THRESHOLD
    if self._video.is_lossless and not self._is_bright():
      self.threshold = 1

  def frames(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields masks; see `Masks`."""
    for image in self._video.images(numbers):
      opaque = _cut_out(image)
      if opaque is not None:
        yield opaque
      else:
        levels = np.asarray(rgb_images.to_rgb(image)).max(axis=-1)
        yield levels >= self.threshold

  def _is_bright(self) -> bool:
    """Whether a frame reaches the threshold."""
    return any(
      mask.any()
      for numbers in _batches(self.num_frames)
      for mask in self.frames(numbers)
    )


def _is_object(image: Image.Image) -> np.ndarray:
  opaque = _cut_out(image)
  if opaque is not None:
    return opaque
  if image.mode == "P" and not _has_black(image):
    return np.asarray(image) != 0
  if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
    return np.asarray(image) > 0  # Levels of 16 bits may be below one of 8.
  return np.asarray(rgb_images.to_rgb(image)).any(axis=-1)


def _cut_out(image: Image.Image) -> np.ndarray | None:
  """Returns what is opaque, bool (h, w), or None if that tells nothing."""
  opaque = rgb_images.alpha(image)
  if opaque is None:
    return None
  is_opaque = opaque >= _OPAQUE
  if not is_opaque.any():
    return is_opaque
  return None if is_opaque.all() else is_opaque


def _has_black(image: Image.Image) -> bool:
  """Whether a palette has black, or but one colour, which tells nothing."""
  colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
  return len(colours) < 2 or bool((colours == 0).all(axis=1).any())


def _natural_order(path: pathlib.Path) -> list[tuple[int, str]]:
  """Orders frame_2 before frame_10."""
  parts = re.findall(r"\d+|\D+", path.name)
  return [(int(x), "") if x.isdecimal() else (-1, x) for x in parts]
