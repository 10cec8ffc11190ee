"""Whether steps still go on, judged by the steps themselves."""

import collections
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRAINING = "training"
# Without a step for this many usual intervals, a run is stalled.
_USUAL_INTERVALS = 10.0
# Steps are dispatched ahead and waited for together: a gap as long as the
# longest lately, and half as much again, is none to worry about.
_LONGEST_GAPS = 1.5
# Compilation, validation and saving may take this many `stall_after_s`.
_LONG = 6.0


class Heartbeat:
  """Times of the steps, and how long the next one may take.

  A run is stalled if nothing happened for longer than the largest of

    - `stall_after_s`,
    - 10 times the mean interval of the last steps,
    - 1.5 times their longest interval,

  or 6 times that while it does something else than training, and until
  `num_first_steps` steps are done: compilation is in the first, and before
  the first wait for the device nobody knows how long a step takes.

  `beat` is called by the training loop, `limit_s` also by a thread.

  Args:
    stall_after_s: Seconds.
    num_first_steps: Steps between two waits for the device, or a few.
    step: Steps done before.
    now_s: Now, seconds.
  """

  def __init__(
    self, stall_after_s: float, num_first_steps: int, step: int, now_s: float
  ):
    self._stall_after_s = stall_after_s
    self._num_first_steps = max(2, num_first_steps)
    self._gaps = collections.deque(maxlen=2 * self._num_first_steps)
    self._num_beats = 0
    self._changed_s = now_s
    self.step = step
    self.last_step_s = now_s
    self.activity = TRAINING
    self.is_stalled = False

  def beat(self, step: int, now_s: float) -> None:
    """Notes that `step` was done or dispatched."""
    # The first holds the compilation, and a stall is nothing usual.
    if self._num_beats and not self.is_stalled:
      self._gaps.append(now_s - self._changed_s)
    self._num_beats += 1
    self.step = step
    self.last_step_s = self._changed_s = now_s

  @contextmanager
  def doing(self, activity: str, clock: Callable[[], float]) -> Iterator[None]:
    """Notes what is done instead of steps; its time is no step's."""
    outer, self.activity = self.activity, activity
    self._changed_s = clock()
    try:
      yield
    finally:
      self.activity = outer
      self._changed_s = clock()

  def silence_s(self, now_s: float) -> float:
    """Seconds since the last step, or since an activity began or ended."""
    return now_s - self._changed_s

  def limit_s(self) -> float:
    """Seconds of silence after which the run is stalled."""
    gaps = self._gaps.copy()  # At once, so that no beat comes between.
    limit_s = self._stall_after_s
    if gaps:
      mean_s = sum(gaps) / len(gaps)
      usual_s = max(_USUAL_INTERVALS * mean_s, _LONGEST_GAPS * max(gaps))
      limit_s = max(limit_s, usual_s)
    is_first = self._num_beats < self._num_first_steps
    is_long = is_first or self.activity != TRAINING
    return limit_s * _LONG if is_long else limit_s
