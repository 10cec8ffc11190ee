"""The work folder of a run: one process writes into it, while it is there."""

import contextlib
import os
import pathlib
import threading
from collections.abc import Iterable, Iterator

from absl import logging

from data_gen.files import folder_lock
from magvit3d.errors import UserError
from magvit3d.files import temporary_files

LOCK_NAME = ".magvit3d.lock"
_MARK = "stages.json"  # Of the work folder of a run.


class WorkFolderGoneError(UserError):
  """The work folder is no longer where it was."""


class _Held:
  """A folder that this process owns.

  Attributes:
    path: Where it was.
    status: What it was, whatever is at that path now.
    thread: Which owns it.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.status = os.stat(path)
    self.thread = threading.get_ident()

  def check(self) -> None:
    with contextlib.suppress(OSError):
      if os.path.samestat(os.stat(self.path), self.status):
        return
    raise WorkFolderGoneError(
      f"--workdir={self.path} was moved or removed while the run wrote to it; "
      "nothing was made in its place. Move it back, or give its new place as "
      "--workdir, and run the same command again: it continues from the last "
      "checkpoint."
    )

  @contextlib.contextmanager
  def telling(self) -> Iterator[None]:
    """Whatever fails once the folder is gone is told as that."""
    try:
      yield
    except Exception as error:
      if not isinstance(error, WorkFolderGoneError):
        self.check()
      raise


_held: list[_Held] = []


@contextlib.contextmanager
def owned(workdir: pathlib.Path, name: str = "--workdir=") -> Iterator[None]:
  """Makes a work folder that is there this process's own.

  Within it the same thread may do so again. Whatever fails once the folder has
  been moved or removed is told as that.

  Args:
    workdir: The folder.
    name: What it is to the user, for messages.

  Raises:
    UserError: Another process writes into it, or it cannot be written.
    WorkFolderGoneError: It was moved or removed.
  """
  found = _find(workdir)
  if found is not None and found.thread == threading.get_ident():
    with found.telling():
      yield
    return
  with contextlib.ExitStack() as stack:
    try:
      lock = folder_lock.held(workdir / LOCK_NAME, log=logging.info)
      stack.enter_context(lock)
      held = _Held(workdir)
    except folder_lock.InUseError as error:
      raise _in_use(f"{name}{workdir}", error.owner) from error
    except OSError as error:
      raise UserError(
        f"{name}{workdir} cannot be written ({error.strerror}). Name a "
        "folder that you may write to."
      ) from error
    _held.append(held)
    stack.callback(_held.remove, held)
    with contextlib.suppress(OSError):  # Of a folder that is not ours.
      temporary_files.remove_left(workdir)
    with held.telling():
      yield


@contextlib.contextmanager
def owned_around(paths: Iterable[pathlib.Path | None]) -> Iterator[None]:
  """Owns the work folders that some outputs lie in, if they lie in any.

  Args:
    paths: Of files and folders to be written; None for none.

  Raises:
    UserError: A run writes into one of them.
  """
  with contextlib.ExitStack() as stack:
    for path in filter(None, paths):
      for folder in path.absolute().parents:
        if any((folder / name).is_file() for name in (LOCK_NAME, _MARK)):
          stack.enter_context(owned(folder, "work folder "))
    yield


def _find(workdir: pathlib.Path) -> _Held | None:
  try:
    status = os.stat(workdir)
  except OSError:
    return None
  same = (held for held in _held if os.path.samestat(held.status, status))
  return next(same, None)


def _in_use(folder: str, owner: folder_lock.Owner | None) -> UserError:
  if owner is None:
    who, stop = "another process", "stop it"
  else:
    who, stop = str(owner), f"stop it (kill {owner.process} on {owner.host})"
  return UserError(
    f"{folder} is in use by {who}. Wait until it has ended, {stop}, or name "
    f"another {'--workdir' if folder.startswith('--') else 'place'}."
  )


def check_there() -> None:
  """Raises WorkFolderGoneError if a folder that this process owns is gone."""
  for held in list(_held):
    held.check()


def make_folder(path: pathlib.Path) -> None:
  """Makes a folder and those above it, if need be.

  Raises:
    WorkFolderGoneError: One that this process owns is gone.
  """
  check_there()
  path.mkdir(parents=True, exist_ok=True)
