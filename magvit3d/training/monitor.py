"""What a user sees of a running stage, on the screen and in its files.

WORKDIR/PROGRESS.txt and WORKDIR/status.json say in one place how the run is,
for a human and for a program; WORKDIR/<stage>/metrics.jsonl and
WORKDIR/<stage>/tensorboard hold the scalars. The first two are replaced
atomically, so that a reader never finds half of one.

Conventions: times are seconds since 1970 in metrics.jsonl and local ISO 8601
elsewhere; numbers that are not finite are null in JSON.
"""

import datetime
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import SupportsFloat

import tensorboardX
import tqdm

from magvit3d import atomic_file
from magvit3d.training import progress

RUNNING = "RUNNING"
DONE = "DONE"
FAILED = "FAILED"
INTERRUPTED = "INTERRUPTED"

_RATE_NAME = "train/steps_per_second"
_MAIN_LOSSES = ("train/loss", "train/g_loss", "loss")
_MAX_SHOWN = 6  # Metrics in a line on the screen.
_NOT_SHOWN = ("learning_rate", "steps_per_second")  # The line has the latter.


class Monitor:
  """Reports the progress of one stage, as a context manager.

  Leaving the block by an exception leaves FAILED and the reason (INTERRUPTED
  for Ctrl-C) in the files and passes the exception on. Leaving it normally is
  DONE if the last step was logged, else INTERRUPTED; call `finish` to say it
  otherwise. Processes other than the main one write and print nothing.

  On a terminal (stderr) there is a bar; otherwise one line an interval goes to
  stdout at once, so that a log file of a batch job is never behind.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    stage: str,
    total_steps: int,
    log_every_steps: int,
    is_main_process: bool = True,
    clock: Callable[[], float] = time.time,
  ):
    """Writes nothing yet: `start` does.

    Args:
      workdir: Folder of the run.
      stage: Name of the stage and of its folder in `workdir`.
      total_steps: Steps of the whole stage, those before a resume included.
      log_every_steps: Steps between two calls of `log`.
      is_main_process: Whether this process speaks for the run.
      clock: Returns seconds since 1970.
    """
    if log_every_steps < 1:
      raise ValueError(
        f"log_every_steps={log_every_steps} is not an interval; use 1 or more."
      )
    self._workdir = workdir
    self._stage = stage
    self._total_steps = total_steps
    self._log_every_steps = log_every_steps
    self._is_main_process = is_main_process
    self._clock = clock
    self._metrics_path = workdir / stage / "metrics.jsonl"
    self._progress: progress.Progress | None = None
    self._bar = self._writer = None
    self._first_step = 0
    self._started_s = self._last_step_s = 0.0
    self._loss: tuple[str, float] | None = None
    self._is_finished = False

  def __enter__(self) -> "Monitor":
    return self

  def __exit__(
    self,
    error_type: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    del traceback
    if self._is_finished:
      return
    if error is None:
      step = self._progress.step if self._progress else 0
      if step >= self._total_steps:
        self.finish(DONE)
      else:
        self.finish(INTERRUPTED, f"stopped after step {step}")
      return
    is_interrupt = isinstance(error, KeyboardInterrupt)
    reason = f"{error_type.__name__}: {error}".removesuffix(": ")
    try:
      self.finish(INTERRUPTED if is_interrupt else FAILED, reason)
    except OSError as status_error:  # A full disk must not hide the cause.
      error.add_note(f"The run's status was not written: {status_error}")

  def start(self, step: int) -> None:
    """Begins, or resumes, after `step` steps.

    Lines of metrics.jsonl after `step` are dropped: the run that wrote them
    was killed past its last checkpoint, and these steps come again.
    """
    self._progress = progress.Progress(self._total_steps, step)
    self._first_step = step
    self._started_s = self._last_step_s = self._clock()
    if not self._is_main_process:
      return
    _drop_lines_after(self._metrics_path, step)
    self._writer = tensorboardX.SummaryWriter(
      str(self._workdir / self._stage / "tensorboard"), purge_step=step + 1
    )
    if _has_terminal():
      self._bar = tqdm.tqdm(
        desc=self._stage,
        total=self._total_steps,
        initial=step,
        file=sys.stderr,
        dynamic_ncols=True,
        # Our rate and time, not those of tqdm, which count the compilation.
        bar_format="{desc} {percentage:3.0f}%|{bar}| {n}/{total}{postfix}",
      )
    self._write_status(RUNNING, "")

  def is_log_step(self, step: int) -> bool:
    """Returns whether `log` is due after `step`.

    True every `log_every_steps`, after the last step, and after the first one
    of this process, from which the rate is counted.
    """
    return (
      step % self._log_every_steps == 0
      or step == self._total_steps
      or step == self._first_step + 1
    )

  def log(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
    """Reports `metrics`, host numbers, after `step` steps.

    Adds "train/steps_per_second" where it is known and not given. Several
    calls for a step are fine (train, then validation).

    Raises:
      RuntimeError: `start` was not called, or `finish` was.
      ValueError: `step` lies before the last one.
    """
    if self._progress is None or self._is_finished:
      raise RuntimeError(
        f"Monitor.log({step}) of stage {self._stage!r} outside of a run: call "
        "start(step) first, and nothing after finish()."
      )
    if step < self._progress.step:
      raise ValueError(
        f"Monitor.log got step {step} after step {self._progress.step} of "
        f"stage {self._stage!r}; steps only grow. After a resume, call "
        "start(step) with the step of the checkpoint."
      )
    now_s = self._clock()
    is_new_step = step > self._progress.step
    self._progress.update(step, now_s)
    self._last_step_s = now_s
    values = {name: float(value) for name, value in metrics.items()}
    rate = self._progress.steps_per_second
    if is_new_step and rate is not None:
      values.setdefault(_RATE_NAME, rate)
    self._loss = _main_loss(values) or self._loss
    if not self._is_main_process:
      return
    self._append_metrics(step, now_s, values)
    for name, value in values.items():
      if math.isfinite(value):
        self._writer.add_scalar(name, value, step, walltime=now_s)
    self._write_status(RUNNING, "")
    self._show(values)

  def finish(self, state: str, reason: str = "") -> None:
    """Ends the stage as DONE, FAILED or INTERRUPTED; a second call is void.

    Raises:
      ValueError: `state` is none of these.
    """
    if state not in (DONE, FAILED, INTERRUPTED):
      raise ValueError(
        f"A stage cannot finish as {state!r}; use {DONE!r}, {FAILED!r} or "
        f"{INTERRUPTED!r}."
      )
    if self._is_finished:
      return
    self._is_finished = True
    if not self._is_main_process:
      return
    if self._progress is None:  # Failed before its first step.
      self._progress = progress.Progress(self._total_steps, 0)
      self._started_s = self._last_step_s = self._clock()
    if self._bar is not None:
      self._bar.close()
    if self._writer is not None:
      self._writer.close()
    took = progress.format_duration(self._clock() - self._started_s)
    end = f": {reason}" if reason else ""
    print(
      f"{self._stage} {state} at step {self._progress.step}/"
      f"{self._total_steps} after {took}{end}",
      flush=True,
    )
    self._write_status(state, reason)

  def _append_metrics(
    self, step: int, time_s: float, values: dict[str, float]
  ) -> None:
    record = {"step": step, "time": time_s}
    record |= {name: _finite_or_none(value) for name, value in values.items()}
    # Opened each time: nothing stays in a buffer when the run is killed.
    with self._metrics_path.open("a", encoding="utf-8") as file:
      file.write(json.dumps(record, allow_nan=False) + "\n")

  def _write_status(self, state: str, reason: str) -> None:
    done = self._progress
    loss_name, loss = self._loss or (None, None)
    is_running = state == RUNNING
    remaining_s = done.remaining_s if is_running else None
    rate = done.steps_per_second
    status = {
      "state": state,
      "reason": reason,
      "stage": self._stage,
      "step": done.step,
      "total_steps": self._total_steps,
      "loss_name": loss_name,
      "loss": _finite_or_none(loss),
      "steps_per_second": rate,
      "eta_seconds": remaining_s,
      "log_every_steps": self._log_every_steps,
      "started": _local_time(self._started_s),
      "last_step": _local_time(self._last_step_s),
      "updated": _local_time(self._clock()),
    }
    lines = [
      f"state      {state}" + (f": {reason}" if reason else ""),
      f"stage      {self._stage}",
      f"step       {done.step}/{self._total_steps} ({done.percent:.1f}%)",
      "loss       " + ("?" if loss is None else f"{loss:.5g} ({loss_name})"),
      f"rate       {_rate_text(rate)}",
      f"last step  {status['last_step']}",
    ]
    if is_running:
      lines.insert(5, f"ETA        {progress.format_duration(remaining_s)}")
    text = json.dumps(status, indent=2, allow_nan=False) + "\n"
    atomic_file.write_text(self._workdir / "status.json", text)
    atomic_file.write_text(
      self._workdir / "PROGRESS.txt", "\n".join(lines) + "\n"
    )

  def _show(self, values: dict[str, float]) -> None:
    done = self._progress
    shown = [
      f"{name.removeprefix('train/')} {value:.4g}"
      for name, value in values.items()
      if name.rpartition("/")[2] not in _NOT_SHOWN
    ][:_MAX_SHOWN]
    shown += [
      _rate_text(done.steps_per_second),
      f"ETA {progress.format_duration(done.remaining_s)}",
    ]
    if self._bar is not None:
      self._bar.set_postfix_str("  ".join(shown), refresh=False)
      self._bar.n = done.step
      self._bar.refresh()
      return
    head = f"{self._stage} {done.step}/{self._total_steps} {done.percent:.1f}%"
    print("  ".join([head, *shown]), flush=True)


def _drop_lines_after(path: pathlib.Path, step: int) -> None:
  """Keeps the records up to `step` of a metrics.jsonl; none where it is 0."""
  kept = []
  if step > 0 and path.exists():
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
      try:
        record = json.loads(line)
      except json.JSONDecodeError:
        continue  # The process was killed while it wrote this line.
      if isinstance(record, dict) and record.get("step", step + 1) <= step:
        kept.append(line + "\n")
  atomic_file.write_text(path, "".join(kept))


def _main_loss(values: dict[str, float]) -> tuple[str, float] | None:
  for name in _MAIN_LOSSES:
    if name in values:
      return name, values[name]
  return None


def _finite_or_none(value: float | None) -> float | None:
  return value if value is not None and math.isfinite(value) else None


def _has_terminal() -> bool:
  """Whether a bar can be drawn: some batch systems give 0 x 0 terminals."""
  if not sys.stderr.isatty():
    return False
  try:
    return min(os.get_terminal_size(sys.stderr.fileno())) > 0
  except OSError:  # Something that only acts as a terminal.
    return True


def _rate_text(rate: float | None) -> str:
  return "? steps/s" if rate is None else f"{rate:.3g} steps/s"


def _local_time(time_s: float) -> str:
  moment = datetime.datetime.fromtimestamp(time_s).astimezone()
  return moment.isoformat(timespec="seconds")
