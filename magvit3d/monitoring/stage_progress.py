"""What a user sees of a stage without training steps: evaluate, report.

A stage has parts with known names and usual shares of its time. It shows the
part, how much is done and the time left: a bar on a terminal, elsewhere a line
every few seconds, by a thread, so that no compilation is silent. The same is in
WORKDIR/status.json and PROGRESS.txt. `part` and `note` speak of the stage that
is under way in this process, as logging does, so that no loop has to be handed
an object for it.
"""

import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from magvit3d.cli import interruption
from magvit3d.files import work_folder
from magvit3d.files.work_folder import WorkFolderGoneError
from magvit3d.monitoring import progress, status_files, watchdog
from magvit3d.monitoring.best_effort import BestEffort
from magvit3d.monitoring.screen import Screen
from magvit3d.monitoring.status_files import DONE, FAILED, INTERRUPTED, RUNNING
from magvit3d.parallel import processes

# Seconds between two lines, and between two looks of the thread: together they
# are less than the 10 s that may pass in silence.
LINE_S = 8.0
LOOK_S = 1.0
_PERCENT = 100

_current: "list[StageProgress]" = []


class StageProgress:
  """Shows one stage, as a context manager.

  Args:
    workdir: Folder of the run.
    stage: Name of the stage.
    parts: Names of the parts in order, with their usual shares of the time in
      any unit. A part that does not come counts as done once a later one does.
    is_main_process: Whether this process speaks for the run; None: if it is
      the first one.
    needs_status: Whether it fails at once where its status cannot be written:
      then its outputs could not be written either.
    clock: Returns seconds since 1970.
    make_watchdog: Called with `look` and the seconds between its calls.

  Attributes:
    result: A sentence for the files, once the stage is done; or "".
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    stage: str,
    parts: Mapping[str, float],
    *,
    is_main_process: bool | None = None,
    needs_status: bool = True,
    clock: Callable[[], float] = time.time,
    make_watchdog: Callable[..., Any] = watchdog.Watchdog,
  ):
    self.result = ""
    self._workdir = workdir
    self._stage = stage
    self._parts = parts
    if is_main_process is None:
      is_main_process = processes.is_main()
    self._is_main_process = is_main_process
    self._needs_status = needs_status
    self._best_effort = BestEffort()
    self._clock = clock
    self._make_watchdog = make_watchdog
    self._lock = threading.Lock()
    self._part = next(iter(parts))
    self._share = 0.0
    self._end_s: float | None = None

  def __enter__(self) -> "StageProgress":
    self._began_s = self._part_s = self._noted_s = self._clock()
    if self._is_main_process and self._needs_status:
      self._status(RUNNING).write(self._workdir)
    _current.append(self)
    if self._is_main_process:
      self._screen = Screen(self._stage, _PERCENT, 0)
      self._show()
      self._watchdog = self._make_watchdog(self.look, LOOK_S)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    _current.remove(self)
    if not self._is_main_process:
      return
    self._watchdog.stop()
    if error is None:
      self._share, state, reason = 1.0, DONE, self.result
    elif isinstance(error, KeyboardInterrupt):
      state, reason = INTERRUPTED, str(error)
    else:
      state, reason = FAILED, str(error) or type(error).__name__
    self._screen.close()
    took = progress.format_duration(self._clock() - self._began_s)
    self._screen.say(f"{self._stage} {state} after {took}")
    if not isinstance(error, WorkFolderGoneError):
      self._write(state, reason)

  def begin(self, part: str) -> None:
    """Notes that a part begins."""
    with self._lock:
      self._part, self._part_s = part, self._clock()
      self._advance(0.0)

  def note(self, done: int, total: int) -> None:
    """Notes how much of the part is done."""
    with self._lock:
      self._advance(done / total)

  def _advance(self, share_of_part: float) -> None:
    """A part may be gone through several times: what is done stays done."""
    names = list(self._parts)
    done = sum(self._parts[name] for name in names[: names.index(self._part)])
    done += self._parts[self._part] * share_of_part
    share = done / sum(self._parts.values())
    if share <= self._share:
      return
    self._share, self._noted_s = share, self._clock()
    self._end_s = self._began_s + (self._noted_s - self._began_s) / share

  def look(self) -> None:
    """Shows how it goes, if it is time; a thread calls it."""
    with self._lock:
      is_time = self._clock() - self._shown_s >= LINE_S - LOOK_S
      if is_time or self._screen.has_bar:
        self._show()

  def _show(self) -> None:
    now_s = self._shown_s = self._clock()
    left_s = None if self._end_s is None else max(self._end_s - now_s, 0.0)
    texts = [
      f"{self._part}, {now_s - self._part_s:.0f} s",
      f"ETA {progress.format_duration(left_s)}",
    ]
    self._screen.tell(round(_PERCENT * self._share), texts)
    self._write(RUNNING)

  def _write(self, state: str, reason: str = "") -> None:
    status = self._status(state, reason)
    self._best_effort.attempt(lambda: status.write(self._workdir))

  def _status(self, state: str, reason: str = "") -> status_files.Status:
    now_s = self._clock()
    spent_s = self._noted_s - self._began_s
    return status_files.Status(
      state=state,
      reason=reason,
      stage=self._stage,
      activity=self._part,
      step=round(_PERCENT * self._share),
      total_steps=_PERCENT,
      loss_name=None,
      loss=None,
      steps_per_second=_PERCENT * self._share / spent_s if spent_s else None,
      log_every_steps=None,
      started_s=self._began_s,
      last_step_s=self._noted_s,
      now_s=now_s,
    )


def begin(part: str) -> None:
  """Notes that a part of the stage under way begins, if one is under way.

  Here, and where `note` is called, a run may stop.
  """
  _may_stop()
  if _current:
    _current[-1].begin(part)


def note(done: int, total: int) -> None:
  """Notes how much of this part is done."""
  _may_stop()
  if _current:
    _current[-1].note(done, total)


def _may_stop() -> None:
  interruption.check()
  work_folder.check_there()
