"""Flags of a program that takes a config: mistakes end it in one sentence."""

import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

import configs
from magvit3d.errors import UserError


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


INTERRUPTED = 130  # Exit status, as after Ctrl-C in a shell.


def fail(message: str, status: int = 1) -> int:
  """Prints an error; returns the exit status."""
  print(f"Error: {message}", file=sys.stderr)
  return status


def stop(message: str) -> int:
  """Prints how what was asked to stop has stopped; returns the exit status."""
  print(message, file=sys.stderr)
  return INTERRUPTED


_MISTAKES = (flags.Error, AttributeError, KeyError, ValueError, OSError)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a misspelled one ends the program with status 2.

  `--config=configs/NAME.py` is the one that is installed where there is no such
  file in the working folder.
  """
  try:
    return flags.FLAGS([*map(_with_installed, argv)], known_only=False)
  except _MISTAKES as error:
    sys.exit(fail(_told(error, argv), 2))


def read_config(arguments: Sequence[str]) -> dict[str, Any]:
  """Returns the config that flags make, as a program of its own reads them.

  Args:
    arguments: `--config=FILE` and `--config.FIELD=VALUE`, and no others.

  Raises:
    UserError: One is wrong, or the file is; it says what `parse_flags` does.
  """
  argv = ["", *map(_with_installed, arguments)]
  values = flags.FlagValues()
  config = define_config("", values, argv)
  try:
    values(argv)
  except _MISTAKES as error:
    raise UserError(_told(error, argv)) from error
  if config.value is None:
    raise UserError("--config is missing, for example configs/traj3d.py:tiny.")
  try:
    return config.value.to_dict()
  except OSError as error:  # Only now does the flag tell of it.
    raise UserError(config_error(error)) from error


def _told(error: Exception, argv: list[str]) -> str:
  """What to say of a mistake in the flags."""
  # The text of a config's own error is a traceback.
  text = _last_line(error) if "Traceback" in str(error) else str(error)
  if isinstance(error, AttributeError) and error.args:
    error = error.args[0]  # Of a section: the KeyError, as it is.
  if isinstance(error, KeyError):  # Its text is a representation.
    name, _, advice = str(error.args[0]).partition("\n")
    place = _of_argument(argv, name.strip("'\""))
    text = f"--config has no field {name}{place}. {advice}"
  return text.strip()


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


def define_config(
  help_text: str,
  flag_values: flags.FlagValues = flags.FLAGS,
  argv: list[str] | None = None,
) -> flags.FlagHolder:
  """Defines --config; a field that it lacks cannot be set.

  `--config.FIELD=None` leaves an optional field without a value; of others the
  typed config says that they need one.

  Args:
    help_text: Of the flag.
    flag_values: Where it is defined.
    argv: What these are parsed from; None: the program's own.
  """
  for kind, parser in _PARSERS.items():
    config_flags.register_flag_parser_for_type(kind, _OrNone(parser))
  return config_flags.DEFINE_config_file(
    "config",
    None,
    help_text,
    lock_config=True,
    flag_values=flag_values,
    sys_argv=argv,
  )


def config_error(error: OSError) -> str:
  """What to say where a config's file turns out not to be there."""
  return f"--config cannot be loaded: {_last_line(error)}"


def _last_line(error: Exception) -> str:
  return str(error).strip().splitlines()[-1].strip()
