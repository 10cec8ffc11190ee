"""Runs as jobs of Slurm, through submitit.

A job that is preempted, requeued, or out of time saves (SIGTERM) and goes on as
the same job. What there is of it is asked of squeue, which needs no accounting.
"""

import ast
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from data_gen.files import json_files
from launch import task_folder
from launch.points import Task
from magvit3d.errors import UserError
from magvit3d.files import atomic_file

_JOBS_NAME = "jobs.json"
_TIME_MIN = 1440  # Of a job, unless --slurm=time=MINUTES says so.
_ALWAYS = 1_000_000  # Times that a job may run out of it.
_SEVERAL = ("nodes", "ntasks_per_node")  # That make more than one process.


@dataclasses.dataclass(frozen=True)
class Job:
  """What a job calls; it is pickled.

  Attributes:
    output: Folder of the sweep, absolute.
    task: Which is prepared.
  """

  output: pathlib.Path
  task: Task

  def __call__(self) -> int:
    """Runs the task to its end; returns the exit status."""
    process = task_folder.start(
      self.output, self.task, os.environ, in_session=True
    )
    status = process.wait()
    task_folder.note_end(self.output, self.task, status)
    return status

  def checkpoint(self) -> Any:
    """Returns what to do once the job is queued again: the same."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(self)


class SlurmJobs:
  """Submits tasks, and watches what another one submitted.

  Args:
    output: Folder of the sweep, which all nodes see.
    max_parallel: Tasks in the queue at a time.
    settings: NAME=VALUE of submitit's parameters: partition, time (minutes),
      gpus_per_node, cpus_per_task, mem, account, qos and the like.

  Attributes:
    max_parallel: The same.
    poll_s: Seconds between two looks.

  Raises:
    UserError: There is no submitit or no Slurm, or a setting is none.
  """

  poll_s = 5.0

  def __init__(
    self, output: pathlib.Path, max_parallel: int, settings: Sequence[str]
  ):
    self._output, self.max_parallel = output.absolute(), max_parallel
    self._path = output / "slurm" / _JOBS_NAME
    self._executor = _make_executor(self._path.parent, settings)
    self._jobs = _read(self._path)
    self._known: dict[str, Task] = {}

  def adopt(self, tasks: Sequence[Task]) -> None:
    """Takes those tasks for ours that an earlier sweep submitted."""
    self._known = {task.name: task for task in tasks if task.name in self._jobs}

  def start(self, task: Task) -> None:
    """Submits a task that is prepared."""
    task_folder.forget_end(self._output, task)
    self._executor.update_parameters(job_name=task.name.replace("/", "_"))
    try:
      job = self._executor.submit(Job(self._output, task))
    except Exception as error:  # submitit's own, or what sbatch says.
      raise UserError(
        f"{task.name} cannot be submitted: {_told(error)} --slurm=NAME=VALUE "
        "sets what sbatch is given."
      ) from error
    self._jobs[task.name], self._known[task.name] = job.job_id, task
    text = json.dumps(self._jobs, indent=2) + "\n"
    atomic_file.write_text(self._path, text)

  def running(self) -> list[Task]:
    """Returns the tasks whose jobs wait or run."""
    queued = _queued()
    return [
      task for name, task in self._known.items() if self._jobs[name] in queued
    ]

  def stop(self) -> str:
    """Leaves the jobs alone; returns what to say."""
    left = [self._jobs[task.name] for task in self.running()]
    if not left:
      return ""
    return f"Its jobs go on; scancel {' '.join(left)} ends them."


def _make_executor(folder: pathlib.Path, settings: Sequence[str]) -> Any:
  try:
    import submitit
  except ImportError as error:
    raise UserError(
      "--executor=slurm needs submitit: pip install 'magvit3d[slurm]'."
    ) from error
  missing = [
    name for name in ("sbatch", "srun", "squeue") if not shutil.which(name)
  ]
  if missing:
    raise UserError(
      f"--executor=slurm: there is no {missing[0]} here. Start the sweep where "
      "jobs are submitted, or use --executor=local."
    )
  executor = submitit.SlurmExecutor(folder, max_num_timeout=_ALWAYS)
  parameters: dict[str, Any] = {"time": _TIME_MIN}
  for setting in settings:
    name, sign, value = setting.partition("=")
    if not sign:
      raise UserError(f"--slurm={setting} is not NAME=VALUE.")
    parameters[name] = _value(value)
    if name in _SEVERAL and parameters[name] != 1:
      raise UserError(
        f"--slurm={setting}: a point is one process on one node, with all of "
        "its GPUs. Start a run of several by launch/slurm.sbatch."
      )
  try:
    executor.update_parameters(**parameters)
  except (ValueError, TypeError) as error:
    raise UserError(f"--slurm is wrong: {_told(error)}") from error
  return executor


def _value(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _read(path: pathlib.Path) -> dict[str, str]:
  try:
    return json_files.read(path, dict[str, str])
  except FileNotFoundError:
    return {}
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}). Look whether jobs of the sweep run "
      "(squeue), wait for them, and remove the file."
    ) from error


def _queued() -> set[str]:
  """Numbers of the user's jobs that wait, run or end."""
  command = ["squeue", "--noheader", "--me", "--format=%i"]
  try:
    done = subprocess.run(
      command, capture_output=True, text=True, timeout=120, check=True
    )
  except (OSError, subprocess.SubprocessError) as error:
    raise UserError(
      f"squeue does not answer: {_told(error)} Jobs go on without the sweep. "
      "Run the same command again once it does."
    ) from error
  return set(done.stdout.split())


def _told(error: Exception) -> str:
  text = getattr(error, "stderr", "") or str(error)
  return " ".join(text.split()) + "."
