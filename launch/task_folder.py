"""The work folder of a task: how it begins, and how it ended.

Besides what `magvit3d.main` writes there are

task.json   flags, values of the swept fields, and where stages are from
log.txt     what all attempts printed
end.json    exit status and last words of the last attempt, once it has ended
"""

import datetime
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any, TypedDict

from data_gen.files import folder_lock, json_files
from launch.points import Task
from magvit3d.cli import interruption
from magvit3d.errors import UserError
from magvit3d.files import atomic_file, new_folder, work_folder

LOG_NAME, END_NAME, TASK_NAME = "log.txt", "end.json", "task.json"
INTERRUPTED = 130  # Exit status of a run that saved and stopped.
# What belongs to one run alone: its own start writes it anew.
_OWN = ("config.json", "status.json", "PROGRESS.txt", "stalled.txt")
_BEGIN = "== Begun at "  # Of an attempt, in the log.
_LOG_END = 20_000  # Bytes in which the last words are looked for.


class End(TypedDict):
  """What end.json says: exit status, and the last words of the log."""

  status: int
  words: str


def is_done(output: pathlib.Path, task: Task) -> bool:
  """Returns whether all stages of a task are noted as done, by a run of it.

  Stages may come from another task, done; only its own start, if what came fits
  its config, writes config.json.
  """
  if not (output / task.name / "config.json").exists():
    return False
  try:
    stages = json_files.read(output / task.name / "stages.json")
  except (OSError, ValueError):
    return False
  entries = [stages.get(name) for name in task.stages]
  return all(isinstance(e, dict) and e.get("status") == "done" for e in entries)


def read_end(output: pathlib.Path, task: Task) -> End | None:
  """Returns how the last attempt ended; None before that, or if it was killed.

  Of one that was asked to stop that is None as well.
  """
  try:
    end = json_files.read(output / task.name / END_NAME, End)
  except (OSError, ValueError):
    return None
  return None if end["status"] == INTERRUPTED else end


def forget_end(output: pathlib.Path, task: Task) -> None:
  """Makes a failed task one that has not ended."""
  (output / task.name / END_NAME).unlink(missing_ok=True)


def prepare(output: pathlib.Path, task: Task) -> None:
  """Makes the folder of a task, with the stages that it takes from another.

  It is there whole or not at all. What there is already stays as it is.

  Raises:
    UserError: It cannot be written.
  """
  folder = output / task.name
  if (folder / TASK_NAME).exists():
    return
  with new_folder.written_whole(folder) as aside:
    if task.source:
      source = output / task.source
      shutil.copytree(
        source,
        aside,
        ignore=_ignored,
        copy_function=functools.partial(_link_or_copy, source),
        dirs_exist_ok=True,
      )
    content = {
      "flags": task.flags,
      "values": task.values,
      "stages_from": task.source,
    }
    text = json.dumps(content, indent=2) + "\n"
    (aside / TASK_NAME).write_text(text, encoding="utf-8")


def _ignored(folder: str, names: list[str]) -> set[str]:
  own = {*_OWN, LOG_NAME, END_NAME, TASK_NAME}
  locks = {work_folder.LOCK_NAME, folder_lock.LOCK_NAME}
  return {
    name
    for name in names
    if name in own | locks or name.endswith((".tmp", ".damaged"))
  }


def _link_or_copy(folder: pathlib.Path, source: str, target: str) -> None:
  """Links what is never written to again: data, and saved checkpoints."""
  first, *others = pathlib.Path(source).relative_to(folder).parts
  if first == "data" or others[:1] == ["checkpoints"]:
    try:
      os.link(source, target)
      return
    except OSError:
      pass  # Of file systems without links; a full one says so again.
  shutil.copy2(source, target)


def is_running(folder: pathlib.Path) -> bool:
  """Returns whether a process of an earlier start still writes the log."""
  try:
    with (folder / LOG_NAME).open("rb") as log:
      return not _lock(log)
  except FileNotFoundError:
    return False


def _lock(log: IO[bytes]) -> bool:
  """Locks a log, for its process and what that starts with it.

  Returns:
    False if another one has it. Where there are no such locks, True.
  """
  try:
    import fcntl

    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except (ImportError, OSError):
    pass
  return True


def find_owner(folder: pathlib.Path) -> folder_lock.Owner | None:
  """Returns the process that has said that the work folder is its own."""
  try:
    text = (folder / work_folder.LOCK_NAME).read_text(encoding="utf-8")
  except OSError:
    return None
  return folder_lock.Owner.read(text)


def start(
  output: pathlib.Path,
  task: Task,
  environment: Mapping[str, str],
  *,
  in_session: bool,
) -> subprocess.Popen:
  """Starts `magvit3d.main` on a prepared task; its words go to log.txt.

  Args:
    output: Folder of the sweep.
    task: Which to start.
    environment: Of the process.
    in_session: Whether signals to this process and its children, as of a
      terminal, reach it.

  Raises:
    UserError: It runs already.
  """
  folder = output / task.name
  with (folder / LOG_NAME).open("ab") as log:
    if not _lock(log):
      raise UserError(
        f"{folder} is in use by another run, which writes its {LOG_NAME}. Wait "
        "until that has ended, or stop it."
      )
    forget_end(output, task)
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    log.write(f"{_BEGIN}{now}\n".encode())
    log.flush()
    return subprocess.Popen(
      [
        *(sys.executable, "-m", "magvit3d.main", f"--workdir={folder}"),
        *task.flags,
      ],
      env=dict(environment),
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      start_new_session=not in_session,
    )


def note_end(output: pathlib.Path, task: Task, status: int) -> None:
  """Writes end.json.

  Args:
    output: Folder of the sweep.
    task: That has ended.
    status: As of `subprocess.Popen`: a signal's number, negative, if one
      killed it.
  """
  folder = output / task.name
  words = _last_words(folder / LOG_NAME)
  if -status in interruption.numbers():  # It came before they were handled.
    status = INTERRUPTED
  elif status < 0:
    words = f"it was killed by {signal.Signals(-status).name}"
  elif status == 0 and not is_done(output, task):
    status, words = 1, "it ended before its stages were done"
  end: Any = {"status": status, "words": words}
  atomic_file.write_text(folder / END_NAME, json.dumps(end) + "\n")


def _last_words(log: pathlib.Path) -> str:
  """The last error that the last attempt tells, or else its last line."""
  try:
    with log.open("rb") as file:
      file.seek(max(0, log.stat().st_size - _LOG_END))
      text = file.read().decode(errors="replace")
  except OSError as error:
    return f"its log cannot be read ({error.strerror})"
  text = text.rpartition(_BEGIN)[2]
  lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
  errors = [line for line in lines if line.startswith("Error: ")]
  return (errors or lines or ["it said nothing"])[-1].removeprefix("Error: ")
