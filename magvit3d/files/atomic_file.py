"""Files that a reader finds complete, or not at all."""

import os
import pathlib

from absl import logging

from data_gen.files import failpoints
from magvit3d.files import temporary_files, work_folder, write_errors


def write_text(path: pathlib.Path, text: str) -> None:
  """Replaces the file at `path` by `text` (UTF-8); see `write_bytes`.

  Bytes of file names that are no UTF-8, as Python has them, become escapes.
  """
  write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Replaces the file at `path` by `content` in one step.

  A process that is killed half-way leaves the old file; its folder is made
  where it does not exist, but no work folder that is gone. The temporary file
  lies beside `path`, because only a rename inside one file system is atomic. A
  folder that is at `path` is set aside.

  Raises:
    WriteError: It cannot be written.
  """
  with write_errors.named(path):
    work_folder.make_folder(path.parent)
    temporary = temporary_files.beside(path)
    try:
      failpoints.reach("write", path.name)
      temporary.write_bytes(content)
      replace(temporary, path)
    finally:
      temporary.unlink(missing_ok=True)


def append(path: pathlib.Path, content: bytes) -> None:
  """Appends to a file: all of `content`, or nothing where that fails.

  Raises:
    WriteError: It cannot be written.
  """
  with write_errors.named(path):
    failpoints.reach("append", path.name)
    with path.open("ab", buffering=0) as file:
      size = file.seek(0, os.SEEK_END)
      left = memoryview(content)
      try:
        while left:
          left = left[file.write(left) :]
      except OSError:
        file.truncate(size)
        raise


def replace(source: pathlib.Path, path: pathlib.Path) -> None:
  """Renames a file to `path`, in place of what is there."""
  if path.is_dir() and not path.is_symlink():
    set_aside(path, "it is a folder")
  failpoints.reach("replace", path.name)
  os.replace(source, path)


def set_aside(path: pathlib.Path, damage: str) -> None:
  """Moves a file that is not as it was written out of the way, and says so.

  Raises:
    WriteError: It cannot be moved.
  """
  target, number = path.with_name(f"{path.name}.damaged"), 0
  while target.exists():
    number += 1
    target = path.with_name(f"{path.name}.damaged.{number}")
  with write_errors.named(path):
    os.rename(path, target)
  logging.warning(
    "%s is damaged (%s) and was moved to %s; it is made again.",
    *(path, damage, target.name),
  )
