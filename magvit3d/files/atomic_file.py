"""Files that a reader finds complete, or not at all."""

import os
import pathlib

from magvit3d.files import work_folder


def write_text(path: pathlib.Path, text: str) -> None:
  """Replaces the file at `path` by `text` (UTF-8); see `write_bytes`.

  Bytes of file names that are no UTF-8, as Python has them, become escapes.
  """
  write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Replaces the file at `path` by `content` in one step.

  A process that is killed half-way leaves the old file; its folder is made
  where it does not exist, but no work folder that is gone. The temporary file
  lies beside `path`, because only a rename inside one file system is atomic.
  """
  work_folder.make_folder(path.parent)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    temporary.write_bytes(content)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
