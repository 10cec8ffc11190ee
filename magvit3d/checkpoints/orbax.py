"""Orbax, for folders of whatever name.

It looks for files by patterns that begin with the folder as it is, so that in
one called `a[1]` it found none, and left checkpoints that nobody could read.
"""

import glob
import os
import pathlib
from collections.abc import Iterator

import orbax.checkpoint as ocp
from etils import epath

from magvit3d.errors import UserError

__all__ = ["check_folder", "ocp"]

_glob = epath.gpath.PosixGPath.glob


def _glob_in_folder(folder: epath.Path, pattern: str) -> Iterator[epath.Path]:
  return _glob(type(folder)(glob.escape(str(folder))), pattern)


epath.gpath.PosixGPath.glob = _glob_in_folder


def check_folder(folder: pathlib.Path, name: str = "--workdir") -> None:
  """Raises UserError where no checkpoint could be kept, or read.

  Args:
    folder: Of a run.
    name: What it is to the user.
  """
  text = str(folder.absolute())
  if os.sep == "/" and "\\" in text:
    raise UserError(
      f"{name}={folder}: TensorStore, which writes the checkpoints, takes no "
      f"backslash in a path, and this one is {text}. Name another folder."
    )
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f"{name}={folder} is no UTF-8 text, which TensorStore needs to write the "
      "checkpoints. Name another folder, or set a locale of UTF-8, such as "
      "LC_ALL=C.UTF-8."
    ) from error
