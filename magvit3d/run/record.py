"""Files of a run's work folder that belong to no stage.

config.json   the config it was started with last
stages.json   for each stage: status, seconds spent, start, reason;
              `was_killed` where an attempt left no word, so that its time is
              missing
"""

import datetime
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from magvit3d.errors import UserError
from magvit3d.files import atomic_file
from magvit3d.files.work_folder import WorkFolderGoneError
from magvit3d.training.loop import Interrupted

DONE = "done"


class StageRecord:
  """Status and duration of a run's stages, in stages.json.

  Args:
    workdir: Folder of the run.
    names: All stages, in order.
    is_writing: Whether this process writes the file; others only know.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    names: tuple[str, ...],
    is_writing: bool = True,
  ):
    self._is_writing = is_writing
    self._path = workdir / "stages.json"
    self._stages = {
      name: {"status": "pending", "seconds": 0.0} for name in names
    }
    if self._path.exists():
      try:
        self._stages |= json.loads(self._path.read_text())
      except (TypeError, ValueError) as error:
        raise UserError(
          f"{self._path} is damaged ({error}). Delete it and run the same "
          "command again: finished work is recognised without it."
        ) from error

  def is_done(self, name: str) -> bool:
    """Returns whether a stage is noted as done."""
    return self._stages[name].get("status") == DONE

  def note_done(self, name: str) -> None:
    """Notes that a stage was found complete, if that is news."""
    if not self.is_done(name):
      self._write(name, _without_reason(self._stages[name]) | {"status": DONE})

  def note_outdated(self, name: str) -> None:
    """Notes that a stage has to be done again, because another one ran."""
    if self.is_done(name):
      self._write(name, self._stages[name] | {"status": "pending"})

  @contextmanager
  def running(self, name: str) -> Iterator[None]:
    """Measures a stage and notes how it ended; resumes add up."""
    before = self._stages[name]
    seconds = before.get("seconds") or 0.0
    start = time.monotonic()
    now = datetime.datetime.now().astimezone()
    stage = {"started": before.get("started", now.isoformat("T", "seconds"))}
    if before.get("was_killed") or before.get("status") == "running":
      stage["was_killed"] = True
    self._write(name, stage | {"status": "running", "seconds": seconds})

    def write(status: str, reason: str | None = None) -> None:
      ended = {"status": status, "seconds": seconds + time.monotonic() - start}
      cause = {"reason": reason} if reason else {}
      self._write(name, stage | ended | cause)

    try:
      yield
    except (Interrupted, KeyboardInterrupt) as error:
      write("pending", str(error) or "interrupted")
      raise
    except WorkFolderGoneError:
      raise
    except BaseException as error:
      write("failed", str(error) or type(error).__name__)
      raise
    write(DONE)

  def _write(self, name: str, stage: Mapping[str, Any]) -> None:
    self._stages[name] = dict(stage)
    if self._is_writing:
      write_json(self._path, self._stages)


def _without_reason(stage: Mapping[str, Any]) -> dict[str, Any]:
  return {key: value for key, value in stage.items() if key != "reason"}


def write_json(path: pathlib.Path, content: Any) -> None:
  """Writes JSON, indented, atomically."""
  text = json.dumps(content, indent=2) + "\n"
  atomic_file.write_text(path, text)


def make_workdir(workdir: pathlib.Path) -> None:
  """Makes the work folder and checks that it can be written.

  Raises:
    UserError: It cannot.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    probe = workdir / f".writable_{os.getpid()}"
    probe.write_text("")
    probe.unlink()
  except OSError as error:
    raise UserError(
      f"--workdir={workdir} cannot be written ({error.strerror}). Name a "
      "folder that you may write to."
    ) from error
