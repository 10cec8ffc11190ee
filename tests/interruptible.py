"""Programs that hear Ctrl-C, however the tests were started."""

import signal
import subprocess
from collections.abc import Sequence
from typing import Any


def start(command: Sequence[str], **kwargs: Any) -> subprocess.Popen:
  """Starts a program; arguments are of `subprocess.Popen`.

  A shell starts what it puts in the background with SIGINT ignored, and
  children inherit that; a handler of ours becomes their default.
  """
  old = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    return subprocess.Popen(command, text=True, **kwargs)
  finally:
    signal.signal(signal.SIGINT, old)
