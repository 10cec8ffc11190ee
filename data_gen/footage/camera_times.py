"""Which frames of several cameras were taken at the same time.

Each camera's clock starts at its `first_frame`. The slowest camera is the one
that the others are paired with: each of its frames goes with the frame of each
other camera that is nearest in time.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_gen.errors import DataError

PAIRINGS = ("time", "nearest", "count")
_SAME_RATE = 0.01  # Part by which rates may differ and be called the same.
_ROUNDING_S = 1e-3  # Of times in MKV files, both of a pair.
_GAP = 1.5  # Frames' periods without a frame that are told.


@dataclasses.dataclass(frozen=True)
class Clock:
  """When a camera took its frames.

  Attributes:
    name: Of the camera, for messages.
    file: Its video, for messages.
    num_frames: Of the whole video.
    times_s: Of the whole video, (num_frames,), seconds; None: unknown.
    first_frame: The frame that all cameras took at once.
  """

  name: str
  file: str
  num_frames: int
  times_s: np.ndarray | None
  first_frame: int

  @property
  def num_from_first(self) -> int:
    """Frames from `first_frame` on."""
    return self.num_frames - self.first_frame

  @property
  def times(self) -> np.ndarray:
    """Of the frames from `first_frame` on, which is at 0 s."""
    times = self.times_s[self.first_frame :]
    return times - times[0]

  @property
  def period(self) -> float:
    """From a frame to the next, seconds; where frames are lost, without."""
    steps = np.diff(self.times)
    # Of one step, times may be rounded to milliseconds.
    counts = np.maximum(np.rint(steps / np.median(steps)), 1)
    return float(steps.sum() / counts.sum())

  @property
  def text(self) -> str:
    """What to call the camera."""
    return f"{self.name} ({self.file})"


@dataclasses.dataclass(frozen=True)
class Pairing:
  """Frames of several cameras by the time at which they were taken.

  Attributes:
    frames: Of each camera the numbers in its video, each (n,).
    most_rows: Frames of the longest camera whose rate is the slowest one's.
    notes: What the user should know.
  """

  frames: tuple[np.ndarray, ...]
  most_rows: int
  notes: tuple[str, ...] = ()


def pair_frames(clocks: Sequence[Clock], pair_by: str) -> Pairing:
  """Pairs the frames of cameras that filmed the same.

  Args:
    clocks: Of cameras with a frame or more from their `first_frame` on.
    pair_by: "time", where no two of a pair may be further apart than half the
      time from a frame to the next; "nearest", where they may; or "count", by
      their numbers alone.

  Raises:
    DataError: A frame has none of its time in another camera.
  """
  by_count = _by_count(clocks)
  if pair_by == "count" or len(by_count.frames[0]) < 2:
    return by_count
  for clock in clocks:
    if clock.times_s is None:
      note = (
        f"Note: {clock.text} has neither time stamps nor a rate, so the frames "
        "of its recording are paired by their numbers."
      )
      return dataclasses.replace(by_count, notes=(note,))
  periods = np.array([clock.period for clock in clocks])
  # The first of those that are the slowest but for rounding.
  slowest = int(np.argmax(periods >= periods.max() * (1 - _SAME_RATE)))
  reference, half = clocks[slowest], periods.max() / 2
  end = min(clock.times[-1] for clock in clocks) + half
  times = reference.times[reference.times <= end]
  found = [_nearest(times, clock.times) for clock in clocks]
  offsets = [
    np.abs(clock.times[near] - times)
    for clock, near in zip(clocks, found, strict=True)
  ]
  if pair_by == "time":
    for clock, offset in zip(clocks, offsets, strict=True):
      _check_offsets(reference, clock, times, offset, half)
  is_alike = periods >= periods.max() * (1 - _SAME_RATE)
  pairing = Pairing(
    tuple(
      clock.first_frame + near
      for clock, near in zip(clocks, found, strict=True)
    ),
    max(
      c.num_from_first for c, same in zip(clocks, is_alike, strict=True) if same
    ),
  )
  notes = _notes(clocks, reference, pairing, max(map(np.max, offsets)))
  return dataclasses.replace(pairing, notes=tuple(notes))


def is_by_count(clocks: Sequence[Clock], pairing: Pairing) -> bool:
  """Whether a pairing is what `pair_by="count"` makes."""
  wanted = _by_count(clocks).frames
  return all(map(np.array_equal, pairing.frames, wanted))


def _by_count(clocks: Sequence[Clock]) -> Pairing:
  counts = [clock.num_from_first for clock in clocks]
  numbers = np.arange(min(counts))
  return Pairing(tuple(c.first_frame + numbers for c in clocks), max(counts))


def _nearest(times: np.ndarray, of_camera: np.ndarray) -> np.ndarray:
  """Returns for each time the number of the camera's nearest frame."""
  after = np.clip(np.searchsorted(of_camera, times), 1, len(of_camera) - 1)
  is_before = times - of_camera[after - 1] <= of_camera[after] - times
  return after - is_before


def _check_offsets(reference, clock, times, offsets, half) -> None:
  late = np.flatnonzero(offsets > half + _ROUNDING_S)
  if not len(late):
    return
  first = late[0]
  raise DataError(
    f"{clock.text} has no frame at the time of {len(late)} of the {len(times)} "
    f"frames of {reference.text}: that of {times[first]:.3f} s after "
    f"first_frame, the first of these, is {offsets[first] * 1000:.0f} ms from "
    f"the nearest, more than half the time from a frame to the next "
    f"({half * 1000:.0f} ms). Frames were lost, or time stamps are wrong. "
    "Give --pair_by=nearest to take the nearest all the same, or "
    "--pair_by=count to pair frames by their numbers."
  )


def _notes(clocks, reference, pairing, most_offset):
  """Yields what is not as with cameras that run in step."""
  rates = [1 / clock.period for clock in clocks]
  slow = 1 / reference.period
  if any(abs(rate / slow - 1) > _SAME_RATE for rate in rates):
    yield (
      "Note: cameras differ in their rates: "
      + ", ".join(
        f"{clock.text} has {rate:.3g} frames a second"
        for clock, rate in zip(clocks, rates, strict=True)
      )
      + f". Each frame of {reference.name}, the slowest, goes with those of "
      f"the others that are nearest in time, up to {most_offset * 1000:.0f} ms "
      "off; --pair_by=count pairs frames by their numbers."
    )
  elif not is_by_count(clocks, pairing):
    yield (
      f"Note: frames of {', '.join(clock.text for clock in clocks)} are paired "
      "by their times, which are not in step with their numbers, up to "
      f"{most_offset * 1000:.0f} ms off."
    )
  gap = float(np.max(np.diff(reference.times)))
  if gap > _GAP * reference.period:
    yield (
      f"Note: {reference.text} lacks frames: up to {gap * 1000:.0f} ms pass "
      f"from one to the next, mostly {reference.period * 1000:.0f} ms. What "
      "moves seems faster there."
    )
