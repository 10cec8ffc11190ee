"""A table of all runs of a sweep, from files alone."""

import dataclasses
import pathlib
import time

from launch import schedule, sweep_record, task_folder
from launch.points import Task
from magvit3d import status
from magvit3d.errors import UserError
from magvit3d.monitoring import status_files

_WAITING = "WAITING"


def show(output: pathlib.Path) -> bool:
  """Prints the table; returns whether a run is in trouble.

  Raises:
    UserError: There is no sweep.
  """
  tasks = sweep_record.read(output)
  if tasks is None:
    raise UserError(
      f"--output={output} holds no sweep: it has no sweep.json. Name what was "
      "given as --output."
    )
  now_s = time.time()
  rows = [
    _row(output, task, state, now_s)
    for task, state in schedule.states(output, tasks).items()
  ]
  print(status.table(rows))
  points = [r.state for r, t in zip(rows, tasks, strict=True) if t.values]
  counts = [f"{points.count(s)} {s}" for s in dict.fromkeys(points)]
  print(f"{len(points)} points: {', '.join(counts)}.")
  return any(row.is_in_trouble for row in rows)


def _row(
  output: pathlib.Path, task: Task, state: schedule.State, now_s: float
) -> status.RunSummary:
  folder = output / task.name
  if state.kind == schedule.DONE:
    return status.RunSummary(
      task.name, status_files.DONE, stage=task.stages[-1]
    )
  if state.kind == schedule.FAILED:
    return status.RunSummary(task.name, status_files.FAILED, state.reason)
  if not (folder / task_folder.LOG_NAME).exists():
    return status.RunSummary(task.name, _WAITING, state.reason)
  if (folder / "stages.json").exists():
    found = status.read_run(folder, now_s)
    if found.reason != status.NOT_BEGUN:
      return dataclasses.replace(found, name=task.name)
  return status.RunSummary(task.name, status_files.RUNNING, "it starts")
