"""What a user sees of a running stage, on the screen and in its files.

WORKDIR/PROGRESS.txt and WORKDIR/status.json (`status_files`) say how the run
is; WORKDIR/<stage>/metrics.jsonl and tensorboard (`metric_writers`) hold the
scalars. A thread keeps the first two fresh and tells of a run whose steps do
not go on (`heartbeat`).
"""

import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import UInt8

from magvit3d.config.run import MonitoringConfig
from magvit3d.files import atomic_file, work_folder
from magvit3d.files.work_folder import WorkFolderGoneError
from magvit3d.monitoring import progress, watchdog
from magvit3d.monitoring.best_effort import BestEffort
from magvit3d.monitoring.heartbeat import TRAINING, Heartbeat
from magvit3d.monitoring.metric_writers import MetricWriters
from magvit3d.monitoring.screen import Screen
from magvit3d.monitoring.status_files import (
  DONE,
  ENDS,
  FAILED,
  INTERRUPTED,
  RUNNING,
  STALLED,
  Status,
  local_time,
)

# A thread looks every so many seconds, and says what is done where no line came
# for so long: together less than the 10 s that may pass in silence.
LOOK_S, SILENCE_S = 3.0, 6.0
_RATE_NAME = "train/steps_per_second"
_MAIN_LOSSES = ("train/loss", "train/g_loss", "loss")


class Monitor:
  """Reports the progress of one stage, as a context manager.

  Leaving the block by an exception leaves FAILED and the reason (INTERRUPTED
  for Ctrl-C) in the files and passes the exception on. Leaving it normally is
  DONE if the last step was logged, else INTERRUPTED; call `finish` to say it
  otherwise. Processes other than the main one write and print nothing.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    stage: str,
    total_steps: int,
    log_every_steps: int,
    is_main_process: bool = True,
    clock: Callable[[], float] = time.time,
    options: MonitoringConfig | None = None,
    document: Mapping[str, Any] | None = None,
    make_watchdog: Callable[..., Any] = watchdog.Watchdog,
  ):
    """Writes nothing yet: `start` does.

    Args:
      workdir: Folder of the run.
      stage: Name of the stage and of its folder in `workdir`.
      total_steps: Steps of the whole stage, those before a resume included.
      log_every_steps: Steps between two calls of `log`.
      is_main_process: Whether this process speaks for the run.
      clock: Returns seconds since 1970.
      options: `config.monitoring`; None: its defaults.
      document: The run's config, for Weights & Biases.
      make_watchdog: Called with `check` and the seconds between its calls.
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
    self._options = options or MonitoringConfig()
    self._document = document
    self._make_watchdog = make_watchdog
    self._progress: progress.Progress | None = None
    self._screen = self._writers = self._watchdog = None
    self._loss: tuple[str, float] | None = None
    self._lock = threading.RLock()  # Of the files and of what is shown.
    self._is_finished = False
    self._best_effort = BestEffort(self._say)

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
    except WorkFolderGoneError:
      pass  # Nothing is left to write to.

  def start(self, step: int) -> None:
    """Begins, or resumes, after `step` steps; see `MetricWriters`.

    Raises:
      UserError: Weights & Biases was asked for and cannot be used.
    """
    self._begin(step)
    if not self._is_main_process:
      return
    self._writers = MetricWriters(
      self._workdir,
      self._stage,
      step,
      self._options.wandb_project,
      self._document,
      self._best_effort,
    )
    self._screen = Screen(self._stage, self._total_steps, step)
    self._write_status()
    interval_s = min(LOOK_S, self._options.stall_after_s / 4)
    self._watchdog = self._make_watchdog(self.check, interval_s)

  def _begin(self, step: int) -> None:
    self._progress = progress.Progress(self._total_steps, step)
    self._first_step = step
    self._started_s = self._shown_s = self._clock()
    self._heartbeat = Heartbeat(
      self._options.stall_after_s, self._log_every_steps, step, self._started_s
    )

  def beat(self, step: int) -> None:
    """Notes that `step` was done or dispatched; costs nothing."""
    self._heartbeat.beat(step, self._clock())

  @contextmanager
  def activity(self, name: str) -> Iterator[None]:
    """Wraps what is done instead of steps, such as 'validation'.

    It may take longer than a step before the run counts as stalled.
    """
    with self._heartbeat.doing(name, self._clock):
      with self._lock:
        if self._is_main_process and not self._is_finished:
          self._write_status()
      yield

  def check(self) -> None:
    """Refreshes the files, and tells if steps stopped or go on again.

    The watchdog calls it.
    """
    with self._lock:
      if self._is_finished:
        return
      has_stalled = self._judge()
      self._break_silence()
      self._write_status()
      if has_stalled:
        self._best_effort.attempt(self._write_stalled)

  def _break_silence(self) -> None:
    """Says what is done in place of steps, every few seconds."""
    beat, now_s = self._heartbeat, self._clock()
    is_usual = beat.activity == TRAINING or self._screen.has_bar
    if is_usual or now_s - self._shown_s < SILENCE_S:
      return
    self._shown_s = now_s
    took = f"{beat.silence_s(now_s):.0f} s"
    self._screen.tell(beat.step, [f"{beat.activity}, {took}"])

  def _judge(self) -> bool:
    """Tells if steps stopped or go on again; returns whether they stopped."""
    beat, now_s = self._heartbeat, self._clock()
    was_stalled = beat.is_stalled
    beat.is_stalled = beat.silence_s(now_s) > beat.limit_s()
    if beat.is_stalled and not was_stalled:
      silence = progress.format_duration(beat.silence_s(now_s))
      self._screen.say(
        f"{self._stage} {STALLED} in {beat.activity} after step {beat.step}: "
        f"nothing happened for {silence}; "
        f"{self._workdir / 'stalled.txt'} says where it is"
      )
    elif was_stalled and not beat.is_stalled:
      self._screen.say(f"{self._stage} {RUNNING} again at step {beat.step}")
    return beat.is_stalled and not was_stalled

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

  def show_samples(
    self, step: int, frames: UInt8[np.ndarray, "t h w 3"]
  ) -> None:
    """Keeps a picture of what the network makes of some clips."""
    if self._is_main_process:
      self._writers.write_samples(step, self._clock(), frames)

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
    if step > self._heartbeat.step:
      self._heartbeat.beat(step, now_s)
    values = {name: float(value) for name, value in metrics.items()}
    rate = self._progress.steps_per_second
    if is_new_step and rate is not None:
      values.setdefault(_RATE_NAME, rate)
    self._loss = _main_loss(values) or self._loss
    if not self._is_main_process:
      return
    work_folder.check_there()
    with self._lock:
      self._judge()
      self._writers.write(step, now_s, values)
      self._write_status()
      self._screen.show(self._progress, values)
      self._shown_s = now_s

  def finish(self, state: str, reason: str = "") -> None:
    """Ends the stage as DONE, FAILED or INTERRUPTED; a second call is void.

    Raises:
      ValueError: `state` is none of these.
    """
    if state not in ENDS:
      raise ValueError(
        f"A stage cannot finish as {state!r}; use {DONE!r}, {FAILED!r} or "
        f"{INTERRUPTED!r}."
      )
    with self._lock:
      if self._is_finished:
        return
      self._is_finished = True
    if not self._is_main_process:
      return
    if self._watchdog is not None:
      self._watchdog.stop()
    if self._progress is None:  # Failed before its first step.
      self._begin(0)
    if self._screen is not None:
      self._screen.close()
    took = progress.format_duration(self._clock() - self._started_s)
    # Of a run that was asked to stop, the program says the reason.
    end = f": {reason}" if reason and state != INTERRUPTED else ""
    print(
      f"{self._stage} {state} at step {self._heartbeat.step}/"
      f"{self._total_steps} after {took}{end}",
      flush=True,
    )
    self._write_status(state, reason)
    if self._writers is not None:
      self._writers.close(has_failed=state == FAILED)

  def _say(self, line: str) -> None:
    if self._screen is not None:
      self._screen.say(line)
    else:
      print(line, flush=True)

  def _write_status(self, state: str | None = None, reason: str = "") -> None:
    beat = self._heartbeat
    if state is None:
      state = STALLED if beat.is_stalled else RUNNING
    if state == STALLED:
      reason = f"no step since {local_time(beat.last_step_s)}"
    loss_name, loss = self._loss or (None, None)
    status = Status(
      state=state,
      reason=reason,
      stage=self._stage,
      activity=beat.activity,
      step=beat.step,
      total_steps=self._total_steps,
      loss_name=loss_name,
      loss=loss,
      steps_per_second=self._progress.steps_per_second,
      log_every_steps=self._log_every_steps,
      started_s=self._started_s,
      last_step_s=beat.last_step_s,
      now_s=self._clock(),
    )
    self._best_effort.attempt(lambda: status.write(self._workdir))

  def _write_stalled(self) -> None:
    beat = self._heartbeat
    text = (
      f"{local_time(self._clock())}: {self._stage} stalled in {beat.activity} "
      f"after step {beat.step}, which was at {local_time(beat.last_step_s)}."
      f"\n\n{watchdog.describe_threads()}"
    )
    atomic_file.write_text(self._workdir / "stalled.txt", text)


def _main_loss(values: dict[str, float]) -> tuple[str, float] | None:
  for name in _MAIN_LOSSES:
    if name in values:
      return name, values[name]
  return None
