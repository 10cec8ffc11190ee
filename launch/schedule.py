"""Which task is next, until none is left that can begin."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Protocol

from absl import logging

from launch import task_folder
from launch.points import Task
from magvit3d.cli import interruption

DONE, FAILED, BLOCKED, OPEN = "done", "failed", "blocked", "open"


class Executor(Protocol):
  """Where tasks run: `LocalRuns` or `SlurmJobs`."""

  max_parallel: int
  poll_s: float

  def adopt(self, tasks: Sequence[Task]) -> None: ...
  def start(self, task: Task) -> None: ...
  def running(self) -> list[Task]: ...
  def stop(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class State:
  """How a task stands, apart from whether it runs.

  Attributes:
    kind: DONE, FAILED, BLOCKED (by what it takes its stages from) or OPEN.
    reason: Why, or "".
  """

  kind: str
  reason: str = ""


def states(output: pathlib.Path, tasks: Sequence[Task]) -> dict[Task, State]:
  """Returns how the tasks of a sweep stand, as their folders tell.

  Args:
    output: Of the sweep.
    tasks: Sources before those that need them.
  """
  found: dict[Task, State] = {}
  by_name = {task.name: task for task in tasks}
  for task in tasks:
    source = by_name[task.source] if task.source else None
    end = task_folder.read_end(output, task)
    if task_folder.is_done(output, task):
      found[task] = State(DONE)
    elif end is not None:
      log = output / task.name / task_folder.LOG_NAME
      found[task] = State(FAILED, f"{end['words']} (log: {log})")
    elif source and found[source].kind in (FAILED, BLOCKED):
      found[task] = State(BLOCKED, f"it needs {source.name}, which failed")
    else:
      found[task] = State(OPEN)
  return found


def run(
  output: pathlib.Path,
  tasks: Sequence[Task],
  executor: Executor,
  *,
  retries: bool,
) -> dict[Task, State]:
  """Runs what is open; returns how all tasks stand at the end.

  A task is begun once: what a signal of another one stopped stays open.

  Args:
    output: Folder of the sweep.
    tasks: Sources before those that need them.
    executor: Where they run.
    retries: Whether those that failed before are open again.

  Raises:
    KeyboardInterrupt: A signal came, and the executor has been told.
    UserError: A folder cannot be written, or a task cannot be submitted.
  """
  for task, state in states(output, tasks).items():
    if state.kind == FAILED and retries:
      task_folder.forget_end(output, task)
  executor.adopt(tasks)
  told: set[Task] = {
    t for t, s in states(output, tasks).items() if s.kind == DONE
  }
  if told:
    logging.info("%d of %d runs are done already.", len(told), len(tasks))
  begun: set[Task] = set()
  try:
    while True:
      interruption.check()
      running = executor.running()
      now = states(output, tasks)
      _tell(now, told, running)
      ready = [
        task
        for task in tasks
        if now[task].kind == OPEN
        and task not in begun
        and task not in running
        and _is_ready(task, now)
      ]
      for task in ready[: max(0, executor.max_parallel - len(running))]:
        task_folder.prepare(output, task)
        executor.start(task)
        begun.add(task)
        logging.info("%s: begun.", task.name)
      if not running and not ready:
        return now
      time.sleep(executor.poll_s)
  except BaseException:
    told_last = executor.stop()
    if told_last:
      logging.info("%s", told_last)
    raise


def _is_ready(task: Task, now: dict[Task, State]) -> bool:
  """Whether what a task takes its stages from is there."""
  return all(
    state.kind == DONE
    for other, state in now.items()
    if other.name == task.source
  )


def _tell(
  now: dict[Task, State], told: set[Task], running: Sequence[Task]
) -> None:
  """Says which tasks have ended since the last look, and how."""
  for task, state in now.items():
    if state.kind in (DONE, FAILED) and task not in told | set(running):
      told.add(task)
      words = f" {state.reason}" if state.reason else ""
      logging.info("%s: %s.%s", task.name, state.kind, words)
