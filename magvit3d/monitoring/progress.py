"""How fast a stage is and when it will end."""

import collections

# The rate is the mean over this many of the last logged intervals, so that it
# follows a machine that becomes slower, yet holds evaluations and checkpoints.
_MAX_INTERVALS = 100


class Progress:
  """Rate and remaining time of a stage, from the times of logged steps.

  The first logged step only starts the clock: it holds the compilation. Steps
  before a resume are not counted either, since nobody knows their times.

  Attributes:
    total_steps: Steps of the whole stage.
    step: Last step that is done.
  """

  def __init__(self, total_steps: int, first_step: int):
    self.total_steps = total_steps
    self.step = first_step
    self._marks = collections.deque(maxlen=_MAX_INTERVALS + 1)

  def update(self, step: int, time_s: float) -> None:
    """Notes that `step` was done at `time_s`; a second call for it is void."""
    if self._marks and step <= self.step:
      return
    self.step = step
    self._marks.append((step, time_s))

  @property
  def steps_per_second(self) -> float | None:
    """Steps a second, or None before two steps are logged."""
    if len(self._marks) < 2:
      return None
    (first_step, first_s), (last_step, last_s) = self._marks[0], self._marks[-1]
    if last_s <= first_s:
      return None
    return (last_step - first_step) / (last_s - first_s)

  @property
  def remaining_s(self) -> float | None:
    """Seconds until the last step, or None while the rate is not known."""
    rate = self.steps_per_second
    if rate is None:
      return None
    return max(0, self.total_steps - self.step) / rate


def percent(step: int, total_steps: int) -> float:
  """Returns how much of a stage is done, 0 to 100."""
  return 100.0 * step / total_steps if total_steps else 100.0


def format_duration(seconds: float | None) -> str:
  """Returns h:mm:ss, or "?" for None."""
  if seconds is None:
    return "?"
  whole = round(seconds)
  return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
