"""GIF and WebP files as videos."""

import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from data_gen.errors import DataError

SUFFIXES = (".gif", ".webp")


class AnimatedPicture:
  """A GIF or WebP file as a video; see `video_clips.Video`.

  Programs that write such files leave out a frame that equals the one before,
  and show that one longer. So a picture counts as many times as it lasts longer
  than the shortest; the last, which often rests, once.
  """

  def __init__(self, path: pathlib.Path):
    """Reads how long each picture is shown.

    Raises:
      DataError: The file cannot be read.
    """
    self.name = str(path)
    self.label = 0
    self._path = path
    durations = np.array(
      [image.info.get("duration", 0) for image in self._read()]
    )
    counts = np.ones(len(durations), int)
    if len(durations) > 1 and durations[:-1].min() > 0:
      counts[:-1] = np.rint(durations[:-1] / durations[:-1].min())
    self._pictures = np.repeat(np.arange(len(counts)), counts)
    self.num_frames = len(self._pictures)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB; see `video_clips.Video`."""
    wanted = self._pictures[numbers]
    for number, image in enumerate(self._read()):
      for _ in range(int(np.sum(wanted == number))):
        yield image.convert("RGB")
      if number >= wanted[-1]:
        return

  def _read(self) -> Iterator[Image.Image]:
    try:
      with Image.open(self._path) as image:
        for number in range(getattr(image, "n_frames", 1)):
          image.seek(number)
          image.load()
          yield image
    # Pillow raises SyntaxError for some damage, an OSError for most.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
      raise DataError(
        f"{self._path} cannot be read as an animated picture ({error}). Take "
        "the file away, or put a whole one in its place."
      ) from error
