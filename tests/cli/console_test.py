"""What is printed is ours: no traceback of a library's thread."""

import logging as python_logging
import sys
import types

import pytest
from absl import logging

from magvit3d.cli import console


@pytest.fixture
def told(monkeypatch):
  """What Python itself would tell."""
  told = []
  monkeypatch.setattr(sys, "unraisablehook", told.append)
  return told


@pytest.fixture
def handler():
  """The handler after `set_up`, which is undone then."""
  asyncio = python_logging.getLogger("asyncio")
  handler = logging.get_absl_handler()
  before = asyncio.level, sys.unraisablehook, logging.get_verbosity()
  filters, formatter = list(handler.filters), handler.python_handler.formatter
  console.set_up()
  yield handler
  asyncio.setLevel(before[0])
  sys.unraisablehook = before[1]
  logging.set_verbosity(before[2])
  handler.filters[:] = filters
  handler.setFormatter(formatter)


def _record(path, level, error=None):
  exc_info = (type(error), error, None) if error else None
  return python_logging.LogRecord("a", level, path, 1, "m", (), exc_info)


@pytest.mark.parametrize(
  ("path", "level", "error", "is_shown"),
  [
    ("/x/magvit3d/a.py", python_logging.INFO, None, True),
    ("/x/orbax/a.py", python_logging.WARNING, None, False),
    ("/x/orbax/a.py", python_logging.ERROR, None, True),
    ("/x/orbax/a.py", python_logging.ERROR, OSError("full"), False),
    ("/x/magvit3d/a.py", python_logging.ERROR, OSError("full"), True),
  ],
)
def test_a_librarys_own_tracebacks_are_not_shown(
  handler, path, level, error, is_shown
):
  assert bool(handler.filter(_record(path, level, error))) == is_shown


def test_reads_that_were_left_alone_are_not_told(told, handler):
  for text in ("Event loop is closed", "something else"):
    sys.unraisablehook(types.SimpleNamespace(exc_value=RuntimeError(text)))
  assert [str(unraisable.exc_value) for unraisable in told] == [
    "something else"
  ]
  asyncio = python_logging.getLogger("asyncio")
  assert not asyncio.isEnabledFor(python_logging.ERROR)


def test_jax_does_not_tell_of_devices_that_are_not_here():
  jax_logger = python_logging.getLogger("jax")
  before = jax_logger.level
  try:
    jax_logger.setLevel(python_logging.NOTSET)
    console.use_streams()
    child = python_logging.getLogger("jax._src.xla_bridge")
    assert not child.isEnabledFor(python_logging.INFO)
    assert child.isEnabledFor(python_logging.WARNING)
  finally:
    jax_logger.setLevel(before)
