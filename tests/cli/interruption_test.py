"""A signal ends the program, whatever it is doing."""

import subprocess
import sys

import pytest
import shrunk

# Garbage is collected nearly all the time, so that a signal from another
# process mostly comes while it is; the callback is then the next function.
_PROGRAM = """
import gc, os, signal, subprocess, sys, time
from magvit3d.cli import interruption

gc.callbacks.append(lambda phase, info: None)
junk = [[i] for i in range(300_000)]
gc.set_threshold(20, 0, 0)
if sys.argv[1] == "install":
  interruption.install()
else:
  signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.unraisablehook = lambda problem: None
num_seen = 0
for i in range(10):
  command = f"sleep 0.1{i}; kill -TERM {os.getpid()}"
  sender = subprocess.Popen(["sh", "-c", command])
  end = time.monotonic() + 0.6
  try:
    while time.monotonic() < end:
      more = [[i] for i in range(100)]
  except KeyboardInterrupt:
    num_seen += 1
  sender.wait()
print(num_seen)
"""


def _count_seen(handler):
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, handler],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  )
  return int(done.stdout)


@pytest.mark.smoke
def test_no_signal_is_lost_in_the_garbage_collector():
  assert _count_seen("install") == 10


def test_pythons_own_handler_would_lose_signals_there():
  """Else the test above shows nothing."""
  assert _count_seen("default") < 10
