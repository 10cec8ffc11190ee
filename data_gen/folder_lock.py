"""One writer at a time in a folder."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

LOCK_NAME = ".data_gen.lock"


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from writing a data set here meanwhile.

  The lock ends with the process, however that ends. Systems without `flock`
  have none.

  Raises:
    BlockingIOError: Another process has it.
  """
  try:
    import fcntl
  except ImportError:  # Windows.
    yield
    return
  path = folder / LOCK_NAME
  descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise BlockingIOError(
        f"Another process is writing a data set to --output_dir={folder}: wait "
        "until it has ended, or name another folder."
      ) from error
    try:
      yield
    finally:
      path.unlink(missing_ok=True)
  finally:
    os.close(descriptor)
