"""GIF and WebP files as videos."""

import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import pictures
from data_gen.files.rgb_images import to_rgb

SUFFIXES = (".gif", ".webp")
# Times are whole hundredths of a second in a GIF, milliseconds in a WebP.
_UNITS_MS = {".gif": 10, ".webp": 1}
_MOST_FRAMES = 2**20  # More than a day of a GIF.
_NUM_PERIODS = 400  # Guesses of a frame's period.
_MAX_CHANCE = 1e-4  # That times without a rate seem to have one.


class AnimatedPicture:
  """A GIF or WebP file as a video; see `video_clips.Video`.

  Programs that write such files leave out a frame that equals the one before,
  and show that one longer. So where all pictures last whole numbers of frames
  of one rate, but for the rounding of the file's times, each counts as often;
  the last, which often rests, once. Elsewhere each picture is a frame.
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
      [image.info.get("duration") or 0 for image in self._read()], float
    )
    counts = count_frames(durations, _UNITS_MS[path.suffix.lower()])
    if counts.sum() > _MOST_FRAMES:
      raise self._error(f"it would have {counts.sum()} frames")
    self._pictures = np.repeat(np.arange(len(counts)), counts)
    self.num_frames = len(self._pictures)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB (`rgb_images.to_rgb`); see `video_clips.Video`."""
    wanted = self._pictures[numbers]
    for number, image in enumerate(self._read()):
      count = int(np.sum(wanted == number))
      if count:
        frame = to_rgb(image)
        for _ in range(count):
          yield frame
      if number >= wanted[-1]:
        return

  def _read(self) -> Iterator[Image.Image]:
    try:
      yield from pictures.frames(self._path)
    except pictures.PictureError as error:
      raise self._error(error) from error

  def _error(self, reason: object) -> DataError:
    return DataError(
      f"{self._path} cannot be read as an animated picture ({reason}). Take "
      "the file away, or put a whole one in its place."
    )


def count_frames(durations_ms: np.ndarray, unit_ms: int) -> np.ndarray:
  """Returns how many frames of a steady rate each picture stands for, (n,).

  Args:
    durations_ms: Of the pictures, (n,); the last is not looked at.
    unit_ms: Times are rounded to whole numbers of it.
  """
  durations = durations_ms[:-1]
  counts = np.ones(len(durations_ms), int)
  if not len(durations) or durations.min() <= 0:
    return counts
  ends, shortest = np.cumsum(durations), durations.min()
  steps = np.arange(1, len(ends) + 1)
  # One frame each, of times that are rounded to the nearest unit, or down.
  highest = np.min((ends + unit_ms) / steps)
  if np.max((ends - unit_ms / 2) / steps) <= highest:
    return counts
  multiples = durations / shortest
  if np.array_equal(multiples, np.rint(multiples)):
    counts[:-1] = multiples
    return counts
  if (unit_ms / shortest) ** len(ends) < _MAX_CHANCE:
    counts[:-1] = _repetitions(ends, durations == shortest, unit_ms)
  return counts


def _repetitions(
  ends: np.ndarray, is_shortest: np.ndarray, unit_ms: int
) -> np.ndarray:
  """Returns what fits times that are rounded to the nearest unit, or ones.

  Each column is a guess of the period, which the times narrow down to
  [low, high] as they go on. Of those that fit, the longest makes the fewest
  frames, so that no rounding is taken for a repetition.
  """
  first = np.diff(ends, prepend=0.0)[is_shortest][0]
  edges = np.linspace(
    max(first - unit_ms, first / 2), first + unit_ms, _NUM_PERIODS + 1
  )
  low, high = edges[:-1], edges[1:]
  numbers = np.zeros((len(ends), _NUM_PERIODS), int)
  for row, end in enumerate(ends):
    numbers[row] = np.maximum(np.rint(2 * end / (low + high)), 1)
    low = np.maximum(low, (end - unit_ms / 2) / numbers[row])
    high = np.minimum(high, (end + unit_ms / 2) / numbers[row])
  steps = np.diff(numbers, axis=0, prepend=0)
  fits = (low <= high + 1e-9) & (steps.min(axis=0) > 0)
  fits &= steps[is_shortest].max(axis=0) == 1
  if not fits.any():
    return np.ones(len(ends), int)
  return steps[:, np.flatnonzero(fits)[-1]]
