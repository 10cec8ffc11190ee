"""Signals that ask a run to stop or to save, as flags that it looks at.

A handler only sets a flag, so that no signal is lost, wherever it comes, and
that a second one is as one. Training looks after each step; everything else
calls `check` at places where it may stop.

SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGUSR1 stop. Batch systems send the last
one to jobs that are to be queued again. SIGUSR2 saves, and training goes on.
"""

import signal
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STOPPING = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
_SAVING = "SIGUSR2"
_REQUEUE = "SIGUSR1"

_stop_name: str | None = None
_is_save_requested = False
_num_deferring = 0
_is_installed = False


def install() -> None:
  """Handles the signals from now on, but for those that are ignored.

  A run in the background of a shell, or under `nohup`, ignores some.
  """
  global _is_installed
  _set_handlers()
  _is_installed = True


@contextmanager
def deferred() -> Iterator[None]:
  """Training's own way: `check` does nothing meanwhile.

  Handles the signals as long where nothing else does, and forgets them then.
  """
  global _num_deferring, _stop_name, _is_save_requested
  is_main_thread = threading.current_thread() is threading.main_thread()
  old = _set_handlers() if is_main_thread and not _is_installed else {}
  _num_deferring += 1
  try:
    yield
  finally:
    _num_deferring -= 1
    for number, handler in old.items():
      signal.signal(number, handler)
    if not _is_installed:
      _stop_name, _is_save_requested = None, False


def is_stop_requested() -> bool:
  """Returns whether a signal to stop has come."""
  return _stop_name is not None


def is_requeue() -> bool:
  """Returns whether that was SIGUSR1."""
  return _stop_name == _REQUEUE


def reason() -> str:
  """Returns what files say of that signal."""
  if is_requeue():
    return f"to be queued again ({_REQUEUE})"
  return f"interrupted ({_stop_name})"


def take_save_request() -> bool:
  """Returns whether SIGUSR2 has come since the last call."""
  global _is_save_requested
  was_requested, _is_save_requested = _is_save_requested, False
  return was_requested


def check() -> None:
  """Raises KeyboardInterrupt, with the reason, if a signal to stop has come."""
  if _stop_name is not None and not _num_deferring:
    raise KeyboardInterrupt(reason())


def numbers() -> tuple[signal.Signals, ...]:
  """Returns the signals; Windows has not all of them."""
  known = signal.Signals.__members__
  return tuple(known[n] for n in (*_STOPPING, _SAVING) if n in known)


def _set_handlers() -> dict[signal.Signals, Any]:
  """Returns the old ones."""
  return {
    number: signal.signal(number, _note)
    for number in numbers()
    if signal.getsignal(number) != signal.SIG_IGN
  }


def _note(number: int, frame: types.FrameType | None) -> None:
  global _stop_name, _is_save_requested
  del frame
  name = signal.Signals(number).name
  if name == _SAVING:
    _is_save_requested = True
  elif _stop_name != _REQUEUE:  # A later SIGTERM is of the same requeue.
    _stop_name = name
