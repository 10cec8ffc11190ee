"""How long steps take, and how much of that is waiting for data."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class StepTimes:
  """Times the steps of an interval; `take` starts the next one.

  Steps are dispatched ahead of the device, so only a whole interval that ends
  in a value read from the device tells how long its steps took. Waiting for
  data counts in full, also where the device was busy meanwhile: a share near 1
  with a device that idles means slow reading.

  Args:
    clock: Returns seconds; only differences count.
    per_step: What a step works through, over all devices, such as
      {"clips": 48, "tokens": 49152}.
  """

  def __init__(
    self,
    clock: Callable[[], float] = time.perf_counter,
    per_step: Mapping[str, int] | None = None,
  ):
    self._clock = clock
    self._per_step = dict(per_step or {})
    self._restart()

  @contextmanager
  def reading(self) -> Iterator[None]:
    """Wraps what fetches a batch."""
    start_s = self._clock()
    try:
      yield
    finally:
      self._reading_s += self._clock() - start_s

  @contextmanager
  def pausing(self) -> Iterator[None]:
    """Wraps what is no part of a step: compilation, validation, saving."""
    start_s = self._clock()
    try:
      yield
    finally:
      self._paused_s += self._clock() - start_s

  def step_done(self) -> None:
    """Counts a step."""
    self._num_steps += 1

  def take(self) -> dict[str, float]:
    """Returns the metrics of the interval, and begins the next one.

    Returns:
      step_time_s: Mean seconds of a step, waiting for data included.
      data_wait_share: Share of that which went into waiting, 0 to 1.
      clips_per_second and the like: of `per_step`.
      Nothing if no step was done or no time went by.
    """
    num_steps, reading_s = self._num_steps, self._reading_s
    spent_s = self._clock() - self._start_s - self._paused_s
    self._restart()
    if not num_steps or spent_s <= 0:
      return {}
    times = {
      "step_time_s": spent_s / num_steps,
      "data_wait_share": min(1.0, reading_s / spent_s),
    }
    return times | {
      f"{name}_per_second": count * num_steps / spent_s
      for name, count in self._per_step.items()
    }

  def _restart(self) -> None:
    self._start_s = self._clock()
    self._reading_s = self._paused_s = 0.0
    self._num_steps = 0
