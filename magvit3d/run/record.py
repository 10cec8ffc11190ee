"""Files of a run's work folder that belong to no stage.

config.json   the config it was started with last
stages.json   for each stage: status, seconds spent, start, reason;
              `was_killed` where an attempt left no word, so that its time is
              missing; once it is done, `key` of what it was made with, and
              `outputs`: bytes and SHA-256 by path
"""

import contextlib
import datetime
import hashlib
import json
import math
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from magvit3d.checkpoints import identity
from magvit3d.errors import UserError
from magvit3d.files import atomic_file, write_errors
from magvit3d.files.work_folder import WorkFolderGoneError
from magvit3d.run.stages import Stage
from magvit3d.training.loop import Interrupted

DONE = "done"
_MAX_HASHED = 2**26  # Bytes of an output that a start hashes.


class StageRecord:
  """Status, duration and outputs of a run's stages, in stages.json.

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
    self._workdir = workdir
    self._path = workdir / "stages.json"
    self._stages = {
      name: {"status": "pending", "seconds": 0.0} for name in names
    }

  def read(self) -> None:
    """Reads what there is; a damaged file is set aside.

    Raises:
      UserError: It cannot be read.
    """
    found = read_json(
      self._path, _damage_of_stages, sets_aside=self._is_writing
    )
    self._stages |= found or {}

  def is_done(self, name: str) -> bool:
    """Returns whether a stage is noted as done."""
    return self._stages[name].get("status") == DONE

  def key(self, name: str) -> str | None:
    """Returns what the outputs of a stage were made with, if that is known."""
    return self._stages[name].get("key")

  def key_of_others(self, name: str, document: Mapping[str, Any]) -> str:
    """Returns a hash of a config and the outputs of all stages but one."""
    outputs = {
      other: entry.get("outputs")
      for other, entry in self._stages.items()
      if other != name
    }
    return identity.key_of({"config": document, "outputs": outputs})

  def find_damage(self, name: str) -> str | None:
    """Returns which output of a stage is not as it was written, or None.

    Only the process that writes looks.
    """
    if not self._is_writing:
      return None
    for path, wanted in self._stages[name].get("outputs", {}).items():
      try:
        found = _describe(self._workdir / path)
      except FileNotFoundError:
        return f"{path} is missing"
      except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
      if found != wanted:
        return f"{path} is not as it was written"
    return None

  def note_done(self, stage: Stage) -> None:
    """Notes that a stage was found complete, if that is news."""
    known = self._stages[stage.name]
    if not self.is_done(stage.name) or "outputs" not in known:
      known = {name: known[name] for name in known if name != "reason"}
      self._write(stage.name, known | self._done(stage))

  def note_outputs(self, stage: Stage) -> None:
    """Notes that a stage that is done has written its outputs again."""
    self._write(stage.name, self._stages[stage.name] | self._done(stage))

  def note_outdated(self, name: str) -> None:
    """Notes that a stage has to be done again, because another one ran."""
    if self.is_done(name):
      self._write(name, self._stages[name] | {"status": "pending"})

  def _done(self, stage: Stage) -> dict[str, Any]:
    if not self._is_writing:
      return {"status": DONE}
    described = {
      path.relative_to(self._workdir).as_posix(): _describe(path)
      for path in sorted(stage.outputs())
    }
    return {"status": DONE, "key": stage.key(), "outputs": described}

  @contextmanager
  def running(self, stage: Stage) -> Iterator[None]:
    """Measures a stage and notes how it ended; resumes add up.

    What was known of its outputs is forgotten first.
    """
    before = self._stages[stage.name]
    seconds = before.get("seconds") or 0.0
    start = time.monotonic()
    now = datetime.datetime.now().astimezone()
    entry = {"started": before.get("started", now.isoformat("T", "seconds"))}
    if before.get("was_killed") or before.get("status") == "running":
      entry["was_killed"] = True
    self._write(stage.name, entry | {"status": "running", "seconds": seconds})

    def write(ended: Mapping[str, Any]) -> None:
      took = {"seconds": seconds + time.monotonic() - start}
      self._write(stage.name, entry | took | dict(ended))

    try:
      yield
    except (Interrupted, KeyboardInterrupt) as error:
      write({"status": "pending", "reason": str(error) or "interrupted"})
      raise
    except WorkFolderGoneError:
      raise
    except BaseException as error:
      reason = str(error) or type(error).__name__
      with contextlib.suppress(write_errors.WriteError):  # It has a cause.
        write({"status": "failed", "reason": reason})
      raise
    write(self._done(stage))

  def _write(self, name: str, entry: Mapping[str, Any]) -> None:
    self._stages[name] = dict(entry)
    if self._is_writing:
      write_json(self._path, self._stages)


def _describe(path: pathlib.Path) -> dict[str, Any]:
  size, digest = path.stat().st_size, None
  if size <= _MAX_HASHED:
    with path.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
  return {"bytes": size, "sha256": digest}


def _damage_of_stages(content: Any) -> str | None:
  """Returns what is wrong with the content of stages.json, or None."""
  if not isinstance(content, dict):
    return f"it holds a {type(content).__name__}"
  for name, entry in content.items():
    if not isinstance(entry, dict):
      return f"{name} is a {type(entry).__name__}"
    seconds = entry.get("seconds") or 0.0
    is_number = isinstance(seconds, int | float) and math.isfinite(seconds)
    if not is_number or not isinstance(entry.get("status", ""), str):
      return f"{name} has a status or seconds that are none"
    outputs = entry.get("outputs", {})
    if not isinstance(outputs, dict) or not all(
      map(_is_output, outputs.items())
    ):
      return f"{name} has outputs that are none"
  return None


def _is_output(entry: tuple[str, Any]) -> bool:
  """Whether it is a path in the work folder, and what is said of the file."""
  path, described = entry
  is_inside = not path.startswith("/") and ".." not in path.split("/")
  keys = described.keys() if isinstance(described, dict) else ()
  return is_inside and "\0" not in path and set(keys) == {"bytes", "sha256"}


def read_json(
  path: pathlib.Path,
  find_damage: Callable[[Any], str | None],
  *,
  sets_aside: bool = True,
) -> Any:
  """Returns what is in a file of the run; None if it is missing or damaged.

  Args:
    path: Of the file.
    find_damage: Returns what is wrong with the content, or None.
    sets_aside: Whether a damaged file is moved away, with a warning.

  Raises:
    UserError: It cannot be read.
  """
  try:
    content = json.loads(path.read_bytes())
    damage = find_damage(content)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except IsADirectoryError:
    damage = "it is a folder"
  except (ValueError, RecursionError) as error:
    damage = str(error)
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}). Make it readable, then run "
      "the same command again."
    ) from error
  if damage is None:
    return content
  if sets_aside:
    atomic_file.set_aside(path, damage)
  return None


def write_json(path: pathlib.Path, content: Any) -> None:
  """Writes JSON, indented, atomically."""
  text = json.dumps(content, indent=2) + "\n"
  atomic_file.write_text(path, text)


def was_started_with(
  workdir: pathlib.Path, document: Mapping[str, Any]
) -> bool:
  """Returns whether a run was last started with a config, in all its fields.

  Args:
    workdir: Folder of the run; need not be there.
    document: The config.
  """
  try:
    found = json.loads((workdir / "config.json").read_bytes())
  except (OSError, ValueError, RecursionError):
    return False
  return found == json.loads(json.dumps(document))


def make_workdir(workdir: pathlib.Path) -> None:
  """Makes the work folder and checks that it can be written.

  Raises:
    UserError: It cannot.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=workdir).close()
  except OSError as error:
    raise UserError(
      f"--workdir={workdir} cannot be written ({error.strerror}). Name a "
      "folder that you may write to."
    ) from error
