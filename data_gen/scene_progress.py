"""How far the writing of scenes is: a bar on a terminal, lines elsewhere."""

import time
from collections.abc import Callable

import tqdm

_SECONDS_BETWEEN_LINES = 5.0


class SceneProgress:
  """Counts scenes, and tells of rate and time left.

  Args:
    num_scenes: To be written.
    log: Takes lines: one every few seconds, and the last.
    shows_bar: Whether there is a terminal, and a bar on stderr, instead.
  """

  def __init__(
    self, num_scenes: int, log: Callable[[str], None], shows_bar: bool
  ):
    self._num_scenes = num_scenes
    self._log = log
    self._num_done = 0
    self._start_s = self._last_line_s = time.monotonic()
    self._bar = None
    if shows_bar:
      self._bar = tqdm.tqdm(
        total=num_scenes, unit=" scenes", dynamic_ncols=True, smoothing=0.05
      )

  def add(self, count: int) -> None:
    """Tells of `count` more scenes."""
    self._num_done += count
    if self._bar is not None:
      self._bar.update(count)
      return
    now = time.monotonic()
    is_last = count and self._num_done == self._num_scenes
    if is_last or now - self._last_line_s >= _SECONDS_BETWEEN_LINES:
      self._last_line_s = now
      self._log(self._line(now - self._start_s))

  def close(self) -> None:
    """Leaves the bar as it is, so that lines can follow."""
    if self._bar is not None:
      self._bar.close()

  def _line(self, seconds: float) -> str:
    share = self._num_done / self._num_scenes
    rate = self._num_done / max(seconds, 1e-9)
    left = "unknown time"
    if self._num_done:
      left = tqdm.tqdm.format_interval(
        (self._num_scenes - self._num_done) / rate
      )
    return (
      f"{self._num_done}/{self._num_scenes} scenes ({share:.0%}), "
      f"{rate:.1f} scenes/s, {left} left"
    )
