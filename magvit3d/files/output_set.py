"""Several files that take the place of others together, or not at all."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

from magvit3d.files import (
  atomic_file,
  temporary_files,
  work_folder,
  write_errors,
)


@contextlib.contextmanager
def exchanged(
  folder: pathlib.Path, record: str, is_ours: Callable[[str], bool]
) -> Iterator[pathlib.Path]:
  """Yields a folder for new files, which replace those of `folder` at its end.

  Whatever fails before leaves the old ones. `record` goes first and comes last:
  where it is there, all others are there and belong to it.

  Args:
    folder: Made where it does not exist.
    record: Name of the file that says what the others are.
    is_ours: Whether a name in `folder` is of such a set: those that are not
      among the new ones go.

  Raises:
    WriteError: A file cannot be written.
  """
  work_folder.make_folder(folder)
  aside = temporary_files.beside(folder / "outputs")
  try:
    with write_errors.named(folder):
      aside.mkdir()
    yield aside
    with write_errors.named(folder):
      (folder / record).unlink(missing_ok=True)
      new = {path.name for path in aside.iterdir()}
      for path in folder.iterdir():
        if path.is_file() and is_ours(path.name) and path.name not in new:
          path.unlink()
      for name in sorted(new, key=lambda name: (name == record, name)):
        atomic_file.replace(aside / name, folder / name)
  finally:
    temporary_files.remove(aside)
