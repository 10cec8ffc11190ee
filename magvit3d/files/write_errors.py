"""Files that cannot be written: which, why, and what to do."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

from magvit3d.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
# Of the machine, whatever the program does.
NUMBERS = _FULL | _FORBIDDEN | {errno.EFBIG, errno.EIO, errno.ESTALE}


class WriteError(UserError, OSError):
  """A file cannot be written.

  Args:
    path: Of the file, or of a folder for what is in it.
    error: What the system said.
    verb: What cannot be done.
  """

  def __init__(
    self, path: str | os.PathLike, error: OSError, verb: str = "written"
  ):
    strerror = error.strerror or str(error)
    super().__init__(f"{path} cannot be {verb} ({strerror}). {_advice(error)}")
    self.errno, self.strerror = error.errno, strerror

  def __str__(self) -> str:
    return self.args[0]


def _advice(error: OSError) -> str:
  then = "then run the same command again."
  if error.errno in _FULL:
    return f"Free some space, {then}"
  if error.errno == errno.EFBIG:
    return f"Allow larger files (ulimit -f unlimited), {then}"
  if error.errno in _FORBIDDEN:
    return f"Make its folder one that you may write to, {then}"
  return f"Look what is wrong there, {then}"


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
  """Raises WriteError where an OSError comes, which names `path`."""
  try:
    yield
  except WriteError:
    raise
  except OSError as error:
    raise WriteError(path, error) from error


def told_of(error: BaseException) -> OSError | None:
  """Returns the machine's error that a library's error is, or tells of.

  Args:
    error: Libraries in C++ keep no more than the system's text.
  """
  if isinstance(error, OSError) and error.errno in NUMBERS:
    return error
  for number in NUMBERS:
    texts = (f"[OS error {number}:", os.strerror(number))  # Of TensorStore.
    if any(text in str(error) for text in texts):
      return OSError(number, os.strerror(number))
  return None
