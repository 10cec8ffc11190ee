"""A folder that is there with all its files, or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from data_gen.files import failpoints
from magvit3d.errors import UserError
from magvit3d.files import temporary_files


def check(output: pathlib.Path) -> None:
  """Raises UserError unless `output`, of --output, is free to be made."""
  if output.is_dir() and not any(output.iterdir()):
    return
  if output.exists() or output.is_symlink():
    raise UserError(
      f"--output={output} exists already. Name another folder, or remove it."
    )


@contextlib.contextmanager
def written_whole(output: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a folder to write into; it becomes `output` if all went well.

  Raises:
    UserError: `output` exists and is not empty, or cannot be written.
  """
  output = output.absolute()
  check(output)
  temporary = temporary_files.beside(output)
  try:
    temporary_files.remove_left_beside(output)
    failpoints.reach("write", output.name)
    temporary.mkdir(parents=True)
    yield temporary
    failpoints.reach("replace", output.name)
    os.replace(temporary, output)
  except OSError as error:
    raise UserError(
      f"--output={output} cannot be written ({error.strerror or error}). "
      "Nothing is left of it. Free some space, or name another folder."
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
