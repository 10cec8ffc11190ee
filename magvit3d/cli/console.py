"""What a run prints: its own messages, not those of its libraries."""

import logging as python_logging
import pathlib
import sys

from absl import logging

from data_gen import terminal

_TALKATIVE = ("orbax", "grain", "jax")


def use_streams() -> None:
  """Lets this program print wherever stdout and stderr go; see `terminal`."""
  logging.use_absl_handler()  # As absl.app does.
  # It tells of each kind of device that is not here. JAX_LOGGING_LEVEL=INFO
  # lets it.
  python_logging.getLogger("jax").setLevel(python_logging.WARNING)
  before = sys.stderr
  terminal.set_up()
  if sys.stderr is not before:
    logging.get_absl_handler().python_handler.stream = sys.stderr


def set_up(is_quiet: bool = False) -> None:
  """Shows this project's messages, and only the warnings of libraries.

  Args:
    is_quiet: Whether to show warnings alone, where another process talks.
  """
  logging.set_verbosity(logging.WARNING if is_quiet else logging.INFO)
  # Orbax reads and writes arrays together; where one fails it leaves the others
  # alone, and asyncio tells of each. The error itself comes to us.
  python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
  tell = sys.unraisablehook

  def tell_others(unraisable: "sys.UnraisableHookArgs") -> None:
    if "Event loop is closed" not in str(unraisable.exc_value):
      tell(unraisable)

  sys.unraisablehook = tell_others
  handler = logging.get_absl_handler()
  handler.addFilter(_is_ours_or_grave)
  handler.setFormatter(
    python_logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
  )


def _is_ours_or_grave(record: python_logging.LogRecord) -> bool:
  parts = pathlib.PurePath(record.pathname).parts
  is_foreign = any(name in parts for name in _TALKATIVE)
  if is_foreign and record.exc_info:
    return False  # What Orbax's threads raise comes to us as well.
  # Orbax warns of items that a caller did not ask to restore.
  least = python_logging.ERROR if is_foreign else python_logging.INFO
  return record.levelno >= least
