"""Files named by flags, checked before the work that fills them."""

import pathlib
import tempfile
from collections.abc import Sequence

from magvit3d.errors import UserError
from magvit3d.files import temporary_files


def check(
  output: pathlib.Path,
  beside: Sequence[pathlib.Path] = (),
  flag: str = "--output",
) -> None:
  """Raises UserError unless `output` can be written.

  Args:
    output: The file; its folder is made.
    beside: Other files in its folder.
    flag: That names it.
  """
  for path in (output, *beside):
    if path.is_dir():
      raise UserError(f"{flag}={output}: {path} is a folder. Name a file.")
  try:
    output.parent.mkdir(parents=True, exist_ok=True)
    # The work takes minutes: that it cannot be kept is better known before.
    tempfile.TemporaryFile(dir=output.parent).close()
    for path in (output, *beside):
      temporary_files.remove_left_beside(path)
  except OSError as error:
    raise not_writable(output, error, flag) from error


def not_writable(
  output: pathlib.Path, error: OSError, flag: str = "--output"
) -> UserError:
  """Returns the error to raise where writing failed."""
  return UserError(
    f"{flag}={output} cannot be written ({error.strerror or error}). Free "
    "some space, or name another file."
  )
