"""Image files in folders, as videos of one frame, to train on images."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import pictures
from data_gen.files.rgb_images import to_rgb
from magvit3d.data.videos import labelled_files

SUFFIXES = (".jpeg", ".jpg", ".png")


class ImageFolder:
  """The image files of a split; see `video_clips.Videos`."""

  def __init__(self, data_dir: str | os.PathLike, split: str):
    """Finds the files; see `labelled_files.find_files`."""
    files = labelled_files.find_files(data_dir, split, SUFFIXES)
    self.class_names = files.class_names
    self.fingerprint = files.fingerprint
    self._files = files

  def __len__(self) -> int:
    return len(self._files.paths)

  def open(self, index: int) -> "ImageFile":
    """Returns an image."""
    return ImageFile(self._files.paths[index], self._files.labels[index])


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """An image file; see `video_clips.Video`."""

  path: pathlib.Path
  label: int
  num_frames: int = 1

  @property
  def name(self) -> str:
    """The path, for messages."""
    return str(self.path)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields the image as RGB (`rgb_images.to_rgb`), the right way up.

    Raises:
      DataError: The file is damaged, or of a kind that is no RGB.
    """
    del numbers  # There is just one.
    try:
      yield to_rgb(pictures.upright(pictures.read(self.path)))
    except ValueError as error:
      raise DataError(
        f"{self.path} cannot be read as an image ({error}). Take the file "
        "away, or put a whole one in its place."
      ) from error
