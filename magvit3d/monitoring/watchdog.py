"""A thread that looks at a run now and then, until it is stopped."""

import sys
import threading
import traceback
from collections.abc import Callable

from magvit3d.files.work_folder import WorkFolderGoneError

_JOIN_S = 5.0  # It may hang in a file system; it is a daemon then.


class Watchdog:
  """Calls `check` every `interval_s` seconds in a daemon thread.

  Args:
    check: What to do.
    interval_s: Seconds between two calls.
    wait: Waits for so many seconds or until the event is set; returns whether
      it is. For tests.
  """

  def __init__(
    self,
    check: Callable[[], None],
    interval_s: float,
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
  ):
    self._check = check
    self._interval_s = interval_s
    self._wait = wait
    self._stopped = threading.Event()
    self._thread = threading.Thread(
      target=self._run, name="magvit3d-watchdog", daemon=True
    )
    self._thread.start()

  def stop(self) -> None:
    """Ends the thread."""
    self._stopped.set()
    if threading.current_thread() is not self._thread:
      self._thread.join(_JOIN_S)

  def _run(self) -> None:
    while not self._wait(self._stopped, self._interval_s):
      try:
        self._check()
      except WorkFolderGoneError:
        return  # The main thread finds it too, and tells.


def describe_threads() -> str:
  """Returns where each thread is, the main one first."""
  frames = sys._current_frames()
  main = threading.main_thread()
  threads = sorted(threading.enumerate(), key=lambda thread: thread != main)
  parts = []
  for thread in threads:
    frame = frames.get(thread.ident)
    if frame is not None and thread is not threading.current_thread():
      stack = "".join(traceback.format_stack(frame))
      parts.append(f"Thread {thread.name}, most recent call last:\n{stack}")
  return "\n".join(parts)
