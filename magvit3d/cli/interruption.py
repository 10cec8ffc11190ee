"""Ctrl-C and SIGTERM as KeyboardInterrupt that does not get lost.

Python runs a signal's handler in whatever function comes next. Where that is a
callback of the garbage collector, and JAX has one, an exception is dropped: the
run would go on as if nothing had been said. Then the handler puts off the
collector and tries again a moment later.
"""

import gc
import signal
import types

_RETRY_S = 0.01


def install() -> None:
  """Handles SIGTERM, and SIGINT unless it is ignored, from now on."""
  signal.signal(signal.SIGTERM, _interrupt)
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, _interrupt)
  signal.signal(signal.SIGALRM, _interrupt)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
  del number
  if _is_in_collector(frame):
    gc.disable()
    signal.setitimer(signal.ITIMER_REAL, _RETRY_S)  # Sends SIGALRM.
  else:
    gc.enable()
    raise KeyboardInterrupt


def _is_in_collector(frame: types.FrameType | None) -> bool:
  callbacks = {getattr(call, "__code__", None) for call in gc.callbacks}
  while frame is not None:
    if frame.f_code in callbacks:
      return True
    frame = frame.f_back
  return False
