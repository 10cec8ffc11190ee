"""Places where tests kill a process, or fail what it writes.

MAGVIT3D_FAILPOINT=NAME=ACTION@COUNT arms some for a process and its children:

  NAME    of the place, which may have the wildcards of `fnmatch`
  ACTION  "kill" (SIGKILL), or the name of an error such as ENOSPC
  COUNT   the first time is 1; "3+" is the third time and all later ones

MAGVIT3D_FAILPOINT_LOG=FILE notes the names that are passed, one a line.
"""

import errno
import fnmatch
import os
import signal
import threading

VARIABLE = "MAGVIT3D_FAILPOINT"
LOG_VARIABLE = "MAGVIT3D_FAILPOINT_LOG"


class _Armed:
  """What the environment asks for."""

  def __init__(self, text: str, log: str):
    self._pattern, _, action = text.rpartition("=")
    self._action, _, count = action.partition("@")
    self._count = int(count.rstrip("+") or 1)
    self._goes_on = count.endswith("+")
    self._log = log
    self._num_passed = 0
    self._lock = threading.Lock()

  def act(self, name: str) -> None:
    """Kills, or raises an OSError, if it is this place's turn."""
    with self._lock:
      if self._log:
        with open(self._log, "a", encoding="utf-8") as file:
          file.write(name + "\n")
      if not fnmatch.fnmatchcase(name, self._pattern):
        return
      self._num_passed += 1
      is_later = self._goes_on and self._num_passed > self._count
    if self._num_passed != self._count and not is_later:
      return
    if self._action == "kill":
      os.kill(os.getpid(), signal.SIGKILL)
    number = getattr(errno, self._action)
    raise OSError(number, os.strerror(number))


def _arm() -> _Armed | None:
  text, log = (os.environ.get(name, "") for name in (VARIABLE, LOG_VARIABLE))
  return _Armed(text, log) if text or log else None


_armed = _arm()


def reach(kind: str, name: str) -> None:
  """Does nothing, unless a test armed the place `KIND NAME`."""
  if _armed is not None:
    _armed.act(f"{kind} {name}")
