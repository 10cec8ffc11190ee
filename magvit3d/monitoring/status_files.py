"""WORKDIR/PROGRESS.txt and WORKDIR/status.json: how a run is, in one place.

The first is for a human, the second for a program (`magvit3d.status`). Both
are replaced atomically, so that a reader never finds half of one.

Conventions: times are local ISO 8601; numbers that are not finite are null.
"""

import dataclasses
import datetime
import json
import math
import pathlib

from magvit3d.files import atomic_file
from magvit3d.monitoring import progress

RUNNING = "RUNNING"
STALLED = "STALLED"
DONE = "DONE"
FAILED = "FAILED"
INTERRUPTED = "INTERRUPTED"
ENDS = (DONE, FAILED, INTERRUPTED)

STATUS_NAME = "status.json"
PROGRESS_NAME = "PROGRESS.txt"
# Seconds between two writings while a run lives, at most.
REFRESH_S = 20.0


@dataclasses.dataclass(frozen=True)
class Status:
  """How a stage is.

  Attributes:
    state: RUNNING, STALLED, DONE, FAILED or INTERRUPTED.
    reason: Why, if there is more to say.
    stage: Name of the stage.
    activity: What it is doing: 'training', 'validation' and the like.
    step: Last step that was done or dispatched.
    total_steps: Steps of the whole stage.
    loss_name: Metric in `loss`.
    loss: Its last value.
    steps_per_second: Rate, or None before it is known.
    log_every_steps: Interval of the metrics; None for a stage that does not
      train: its steps are hundredths of the work.
    started_s: When this process began the stage, seconds since 1970.
    last_step_s: When the last step was.
    now_s: Now.
  """

  state: str
  reason: str
  stage: str
  activity: str
  step: int
  total_steps: int
  loss_name: str | None
  loss: float | None
  steps_per_second: float | None
  log_every_steps: int | None
  started_s: float
  last_step_s: float
  now_s: float

  @property
  def is_alive(self) -> bool:
    return self.state not in ENDS

  @property
  def remaining_s(self) -> float | None:
    """Seconds until the last step, or None if that cannot be told."""
    if self.state != RUNNING or self.steps_per_second is None:
      return None
    return max(0, self.total_steps - self.step) / self.steps_per_second

  def write(self, workdir: pathlib.Path) -> None:
    """Replaces both files."""
    text = json.dumps(self._fields(), indent=2, allow_nan=False) + "\n"
    atomic_file.write_text(workdir / STATUS_NAME, text)
    atomic_file.write_text(workdir / PROGRESS_NAME, self._text())

  def _fields(self) -> dict:
    return {
      "state": self.state,
      "reason": self.reason,
      "stage": self.stage,
      "activity": self.activity if self.is_alive else None,
      "step": self.step,
      "total_steps": self.total_steps,
      "loss_name": self.loss_name,
      "loss": finite_or_none(self.loss),
      "steps_per_second": self.steps_per_second,
      "eta_seconds": self.remaining_s,
      "log_every_steps": self.log_every_steps,
      "started": local_time(self.started_s),
      "last_step": local_time(self.last_step_s),
      "seconds_since_last_step": round(self.now_s - self.last_step_s, 1),
      "updated": local_time(self.now_s),
    }

  def _text(self) -> str:
    done = progress.percent(self.step, self.total_steps)
    loss = "?" if self.loss is None else f"{self.loss:.5g} ({self.loss_name})"
    last_step = local_time(self.last_step_s)
    if self.is_alive:
      age = progress.format_duration(self.now_s - self.last_step_s)
      last_step += f" ({age} ago when updated)"
    lines = {
      "state": self.state + (f": {self.reason}" if self.reason else ""),
      "stage": self.stage,
      "activity": self.activity,
      "step": f"{self.step}/{self.total_steps} ({done:.1f}%)",
      "loss": loss,
      "rate": rate_text(self.steps_per_second),
      "ETA": progress.format_duration(self.remaining_s),
      "last step": last_step,
      "updated": local_time(self.now_s),
    }
    if not self.is_alive:
      del lines["activity"], lines["ETA"]
    if self.log_every_steps is None:
      del lines["loss"], lines["rate"]
    return "".join(f"{name:11}{value}\n" for name, value in lines.items())


def rate_text(rate: float | None) -> str:
  """Returns a rate for humans."""
  return "? steps/s" if rate is None else f"{rate:.3g} steps/s"


def finite_or_none(value: float | None) -> float | None:
  """Returns what JSON can hold of a number."""
  return value if value is not None and math.isfinite(value) else None


def local_time(time_s: float) -> str:
  """Returns seconds since 1970 in ISO 8601, to the second."""
  moment = datetime.datetime.fromtimestamp(time_s).astimezone()
  return moment.isoformat(timespec="seconds")
