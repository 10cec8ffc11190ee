"""Opens files of others: regular ones only, so that nothing waits.

A pipe in the place of a file would be waited for, a device such as `/dev/zero`
never ends. Both are errors of the operating system here, with a text of ours in
`strerror`, so that whoever tells of a file that cannot be read tells of them.
"""

import errno
import os
import pathlib
import stat
from typing import BinaryIO

MIB = 2**20


def check(path: pathlib.Path) -> os.stat_result:
  """Returns the state of a file.

  Raises:
    OSError: It is missing, or no regular file.
  """
  try:
    found = os.stat(path)
  except ValueError as error:  # Letters that no name of a file can have.
    raise OSError(errno.EINVAL, "that is no name of a file", str(path)) from (
      error
    )
  if stat.S_ISDIR(found.st_mode):
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
  if not stat.S_ISREG(found.st_mode):
    raise OSError(
      errno.EINVAL, "it is a pipe, socket or device, not a file", str(path)
    )
  return found


def open_file(path: pathlib.Path) -> BinaryIO:
  """Opens a file for reading; errors are those of `check`."""
  check(path)  # Before it is opened, which would wait.
  return path.open("rb")


def read_bytes(path: pathlib.Path, most_bytes: int) -> bytes:
  """Returns the content of a file.

  Args:
    path: Of the file.
    most_bytes: That such a file may have.

  Raises:
    OSError: It is missing, no regular file, or larger.
  """
  with open_file(path) as file:
    size = os.fstat(file.fileno()).st_size
    if size <= most_bytes:
      return file.read(most_bytes)
  raise OSError(
    errno.EINVAL,
    f"it has {size / MIB:.0f} MiB, where at most {most_bytes / MIB:.0f} MiB "
    "are expected",
    str(path),
  )


def is_file(path: pathlib.Path) -> bool:
  """Whether a regular file is there, whatever the path."""
  try:
    check(path)
  except OSError:
    return False
  return True


def inside(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Returns the file of a name in a folder that nobody vouches for.

  Raises:
    ValueError: The name, or a link of that name, leads out of the folder.
  """
  path = folder / name
  is_name = name not in ("", ".", "..") and not set(name) & set("/\\\0")
  # Not `resolve`, which raises for links that run in a circle.
  if not is_name or os.path.dirname(os.path.realpath(path)) != os.path.realpath(
    folder
  ):
    raise ValueError(f"{name!r} leads out of {folder}")
  return path
