"""Flags of a program that takes a config: mistakes end it in one sentence."""

import pathlib
import re
import sys
from typing import Any

from absl import flags
from ml_collections import config_flags

import configs


class _OrNone(flags.ArgumentParser):
  """Reads None as no value, and everything else as another parser does."""

  def __init__(self, parser: flags.ArgumentParser):
    super().__init__()
    self._parser = parser
    self.syntactic_help = parser.syntactic_help

  def parse(self, argument: Any) -> Any:
    return None if argument == "None" else self._parser.parse(argument)

  def flag_type(self) -> str:
    return self._parser.flag_type()


_PARSERS = {
  bool: flags.BooleanParser(),
  float: flags.FloatParser(),
  int: flags.IntegerParser(),
  str: flags.ArgumentParser(),
}


def fail(message: str, status: int = 1) -> int:
  """Prints an error; returns the exit status."""
  print(f"Error: {message}", file=sys.stderr)
  return status


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a misspelled one ends the program with status 2.

  `--config=configs/NAME.py` is the one that is installed where there is no such
  file in the working folder.
  """
  try:
    return flags.FLAGS([*map(_with_installed, argv)], known_only=False)
  except (flags.Error, AttributeError, KeyError, ValueError, OSError) as error:
    # The text of a config's own error is a traceback.
    text = _last_line(error) if "Traceback" in str(error) else str(error)
    if isinstance(error, AttributeError) and error.args:
      error = error.args[0]  # Of a section: the KeyError, as it is.
    if isinstance(error, KeyError):  # Its text is a representation.
      name, _, advice = str(error.args[0]).partition("\n")
      place = _of_argument(argv, name.strip("'\""))
      text = f"--config has no field {name}{place}. {advice}"
    sys.exit(fail(text.strip(), 2))


def _with_installed(argument: str) -> str:
  """An argument, with the path of an installed config in it."""
  found = re.fullmatch(r"(--?config=)?(configs/\w+\.py)(:.*)?", argument)
  if found is None or pathlib.Path(found[2]).exists():
    return argument
  folder = pathlib.Path(configs.__path__[0]).absolute()
  installed = folder / pathlib.Path(found[2]).name
  if not installed.is_file():
    return argument
  return f"{found[1] or ''}{installed}{found[3] or ''}"


def _of_argument(argv: list[str], name: str) -> str:
  """Which argument a field is from, where one names it."""
  found = [text for text in argv if f".{name}=" in text]
  return f", as in {found[0]}" if found else ""


def define_config(help_text: str) -> flags.FlagHolder:
  """Defines --config; a field that it lacks cannot be set.

  `--config.FIELD=None` leaves an optional field without a value; of others the
  typed config says that they need one.
  """
  for kind, parser in _PARSERS.items():
    config_flags.register_flag_parser_for_type(kind, _OrNone(parser))
  return config_flags.DEFINE_config_file(
    "config", None, help_text, lock_config=True
  )


def config_error(error: OSError) -> str:
  """What to say where a config's file turns out not to be there."""
  return f"--config cannot be loaded: {_last_line(error)}"


def _last_line(error: Exception) -> str:
  return str(error).strip().splitlines()[-1].strip()
