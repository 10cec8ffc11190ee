"""Runs on this machine: some at a time, each on GPUs of its own."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence

from absl import logging

from data_gen.files import json_files
from launch import task_folder
from launch.points import Task
from magvit3d.errors import UserError
from magvit3d.files import atomic_file

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_GPUS_NAME = "gpus.json"  # Which a run has, for a start after a `kill -9`.


class LocalRuns:
  """Starts tasks as processes of this machine.

  Args:
    output: Folder of the sweep.
    max_parallel: Tasks at a time. One has all GPUs; of several each has one.

  Attributes:
    max_parallel: The same.
    poll_s: Seconds between two looks.

  Raises:
    UserError: There are GPUs, but fewer than that.
  """

  poll_s = 0.5

  def __init__(self, output: pathlib.Path, max_parallel: int):
    self._output, self.max_parallel = output, max_parallel
    self._running: dict[Task, tuple[subprocess.Popen, str | None]] = {}
    gpus = _gpus()
    if gpus and len(gpus) < max_parallel:
      raise UserError(
        f"--max_parallel={max_parallel}, but each run takes a GPU and there "
        f"are {len(gpus)} ({', '.join(gpus)}). Use "
        f"--max_parallel={len(gpus)} or less."
      )
    self._gpus = gpus if max_parallel > 1 else []
    self._gpus_of = _read(output / _GPUS_NAME)  # By name of a task.
    self._left: list[Task] = []

  def adopt(self, tasks: Sequence[Task]) -> None:
    """Waits for runs of a sweep that was killed."""
    self._left = [task for task in tasks if self._is_left(task)]
    for task in self._left:
      logging.info("%s: still runs, from an earlier start.", task.name)

  def _is_left(self, task: Task) -> bool:
    return task_folder.is_running(self._output / task.name)

  def start(self, task: Task) -> None:
    """Starts a task that is prepared."""
    taken = [gpu for _, gpu in self._running.values()]
    taken += [self._gpus_of.get(task.name) for task in self._left]
    gpu = next((gpu for gpu in self._gpus if gpu not in taken), None)
    environment = os.environ | ({_VISIBLE: gpu} if gpu else {})
    if gpu:
      self._gpus_of[task.name] = gpu
      text = json.dumps(self._gpus_of, indent=2) + "\n"
      atomic_file.write_text(self._output / _GPUS_NAME, text)
    process = task_folder.start(
      self._output, task, environment, in_session=False
    )
    self._running[task] = process, gpu

  def running(self) -> list[Task]:
    """Returns the tasks that have not ended yet."""
    for task, (process, _) in list(self._running.items()):
      status = process.poll()
      if status is not None:
        del self._running[task]
        task_folder.note_end(self._output, task, status)
    self._left = [task for task in self._left if self._is_left(task)]
    return [*self._running, *self._left]

  def stop(self) -> str:
    """Asks all tasks to save and stop, and waits; returns what to say."""
    for process, _ in self._running.values():
      process.send_signal(signal.SIGTERM)
    for task in self._left:
      owner = task_folder.find_owner(self._output / task.name)
      if owner and owner.host == socket.gethostname():
        with contextlib.suppress(ProcessLookupError):
          os.kill(owner.process, signal.SIGTERM)
    for process, _ in self._running.values():
      process.wait()
    self.running()
    return "Its runs have saved and stopped."


def _read(path: pathlib.Path) -> dict[str, str]:
  try:
    return json_files.read(path, dict[str, str])
  except (OSError, ValueError):
    return {}


def _gpus() -> list[str]:
  """The GPUs that may be used, by number or name."""
  if os.environ.get("JAX_PLATFORMS") == "cpu":
    return []
  given = os.environ.get(_VISIBLE)
  if given is not None:
    return [name.strip() for name in given.split(",") if name.strip()]
  return [str(number) for number, _ in enumerate(_listed())]


def _listed() -> Iterator[str]:
  try:
    done = subprocess.run(
      ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30
    )
  except (OSError, subprocess.SubprocessError):
    return
  if done.returncode == 0:
    yield from (line for line in done.stdout.splitlines() if "GPU" in line)
