"""Paths as users write them: in flags, configs, JSON files and programs.

Shells expand a tilde at the start of a word only, so that --workdir=~/x and
--config.data.data_dir=~/x come with it.
"""

import argparse
import os
import pathlib

from data_gen.errors import DataError


def expanded(text: str | os.PathLike) -> str:
  """Returns a path or address whose `~` or `~user` is that user's home.

  Raises:
    DataError: There is no such user, or no home.
  """
  text = os.fspath(text)
  found = os.path.expanduser(text)
  if text.startswith("~") and found == text:
    name = text.split("/")[0]
    raise DataError(
      f"{text}: the home folder {name} is not known here. Write the path "
      f"without it, or ./{text} for a folder of that name."
    )
  return found


def read(text: str | os.PathLike) -> pathlib.Path:
  """Returns the same as a path on this machine."""
  return pathlib.Path(expanded(text))


def argument(text: str) -> pathlib.Path:
  """Returns the same of an argument, as `type` of argparse."""
  try:
    return read(text)
  except DataError as error:
    raise argparse.ArgumentTypeError(str(error)) from error
