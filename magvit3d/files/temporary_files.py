"""Names of files that are being written, and what killed processes left."""

import os
import pathlib
import re
import shutil

_NAMES = (
  r"(config|stages|status|scores)\.json|(PROGRESS|stalled|wandb_run_id)\.txt|"
  r"clips\.npz|paths(_.+)?\.(npz|json|csv)|(samples|\d+)\.webp|index\.html|"
  r"metrics\.jsonl|outputs"
)
_OURS = re.compile(
  # `beside`; a check of earlier versions; data_gen's, in folders of ours.
  rf"\.({_NAMES})\.(?P<pid>\d+)\.tmp|\.writable_(?P<check>\d+)|"
  r".+\.[0-9a-f]{32}\.tmp"
)
_DATA = "data"  # Its own lock is data_gen's, which removes what is left there.


def beside(path: pathlib.Path) -> pathlib.Path:
  """Returns where this process writes what becomes `path`."""
  return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_left_beside(path: pathlib.Path) -> None:
  """Removes what processes that are dead left of `beside(path)`."""
  pattern = re.compile(rf"\.{re.escape(path.name)}\.(?P<pid>\d+)\.tmp")
  if path.parent.is_dir():
    for entry in os.scandir(path.parent):
      match = pattern.fullmatch(entry.name)
      if match and not _lives(match["pid"]):
        remove(pathlib.Path(entry.path))


def remove_left(workdir: pathlib.Path) -> None:
  """Removes what processes that are dead left in a work folder of our own.

  Those of a process that lives stay, and what has other names.
  """
  _remove_left_in(workdir, skipped=_DATA)


def _remove_left_in(folder: str | os.PathLike, skipped: str = "") -> None:
  for entry in os.scandir(folder):
    match = _OURS.fullmatch(entry.name)
    if match:
      pid = match["pid"] or match["check"]
      # In a container our number is often that of the process before.
      if pid == str(os.getpid()) or not _lives(pid):
        remove(pathlib.Path(entry.path))
    elif entry.is_dir(follow_symlinks=False) and entry.name != skipped:
      _remove_left_in(entry.path)


def remove(path: pathlib.Path) -> None:
  """Removes a file, or a folder with all that is in it, if it is there."""
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)


def _lives(pid: str | None) -> bool:
  """Whether there is a process of this number; None for no number."""
  if pid is None:
    return False
  try:
    os.kill(int(pid), 0)
  except (ProcessLookupError, OverflowError):
    return False
  except OSError:
    return True  # Another user's.
  return True
