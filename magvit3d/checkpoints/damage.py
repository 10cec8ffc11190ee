"""Checkpoints that are not as they were written: told apart, and moved away.

They go to `damaged_checkpoints` beside the stage's `checkpoints`, under their
step, and are never deleted: somebody may want to save what is left.
"""

import errno
import os
import pathlib

from data_gen.files import failpoints, plain_files
from magvit3d.errors import UserError
from magvit3d.files import write_errors

_NAME = "damaged_checkpoints"
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_NUMBERS = write_errors.NUMBERS | {errno.ENOMEM, errno.EMFILE, errno.ENFILE}
_NEVER_OF_BYTES = (MemoryError, RecursionError, ImportError, TimeoutError)
# Status codes in the texts of TensorStore and XLA that are of the machine.
_OF_THE_MACHINE = ("RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNAVAILABLE")


def set_aside(folder: pathlib.Path, target: pathlib.Path) -> None:
  """Moves the folder of a checkpoint to `target`, see `destination`.

  Raises:
    UserError: It cannot be moved.
  """
  try:
    target.parent.mkdir(exist_ok=True)
    failpoints.reach("set aside", folder.name)
    os.rename(folder, target)
  except OSError as error:
    raise UserError(
      f"The checkpoint {folder} is damaged, and cannot be moved to {target} "
      f"({error.strerror}). Move it away, then run the same command again."
    ) from error


def destination(folder: pathlib.Path) -> pathlib.Path:
  """Returns where the folder of a damaged checkpoint goes."""
  aside = folder.parent.parent / _NAME
  target, number = aside / folder.name, 0
  while target.exists():
    number += 1
    target = aside / f"{folder.name}.{number}"
  return target


def after(checkpoints: pathlib.Path, step: int) -> pathlib.Path | None:
  """Returns the newest that was set aside, if it is later than `step`.

  Args:
    checkpoints: Folder of the stage's checkpoints.
    step: Of the newest sound one.
  """
  found = {}
  for path in (checkpoints.parent / _NAME).glob("*"):
    number = path.name.partition(".")[0]
    if number.isdecimal() and int(number) > step:
      found[int(number)] = path
  return found[max(found)] if found else None


def is_damage(folder: pathlib.Path, error: Exception) -> bool:
  """Tells whether the files of a checkpoint are to blame for an error.

  Args:
    folder: Of the checkpoint that was read.
    error: What came of it.

  Returns:
    False for memory, limits and devices: these are the machine's.

  Raises:
    UserError: A file is there, but cannot be read.
  """
  _check_readable(folder)
  if isinstance(error, _NEVER_OF_BYTES) or type(error) is RuntimeError:
    return False
  if isinstance(error, OSError):
    return error.errno is None or error.errno in _NOT_FOUND
  codes = (f"[OS error {number}:" for number in _NUMBERS)
  texts = (*_OF_THE_MACHINE, *map(os.strerror, _NUMBERS), *codes)
  return not any(text in str(error) for text in texts)


def _check_readable(folder: pathlib.Path) -> None:
  path = folder
  try:
    for parent, _, names in os.walk(folder, onerror=_raise):
      for name in names:
        path = pathlib.Path(parent, name)
        with plain_files.open_file(path) as file:
          while file.read(2**24):
            pass
  except OSError as error:
    if error.errno in _NOT_FOUND:
      return
    raise UserError(
      f"{error.filename or path} cannot be read ({error.strerror}). Make it "
      "readable, then run the same command again."
    ) from error


def _raise(error: OSError) -> None:
  raise error
