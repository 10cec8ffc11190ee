"""Signals are flags: none is lost, and a second one changes nothing."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import shrunk

from magvit3d.cli import interruption
from magvit3d.inference.batched import map_batches
from magvit3d.monitoring import stage_progress
from magvit3d.parallel import sharding

pytestmark = pytest.mark.skipif(
  sys.platform == "win32", reason="Windows has two of the signals"
)

# Garbage is collected nearly all the time, with a callback as JAX has one, so
# that signals mostly come in it. Prints what flags say after each round.
_PROGRAM = """
import gc, json, os, signal, subprocess, sys, time
from magvit3d.cli import interruption

if sys.argv.pop(1) == "heard":
  # Whoever starts the tests in the background ignores some.
  for number in interruption.numbers():
    signal.signal(number, signal.SIG_DFL)
interruption.install()
gc.callbacks.append(lambda phase, info: None)
junk = [[i] for i in range(300_000)]
gc.set_threshold(20, 0, 0)
seen = []
for name in sys.argv[1:]:
  sender = subprocess.Popen(["sh", "-c", f"kill -{name} {os.getpid()}"])
  while sender.poll() is None:
    more = [[i] for i in range(100)]
  is_saving = interruption.take_save_request()
  seen.append([interruption.is_stop_requested(), is_saving])
print(json.dumps([seen, interruption.reason()]))
"""


def _run(*names, how="heard", prefix=()):
  done = subprocess.run(
    [*prefix, sys.executable, "-c", _PROGRAM, how, *names],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert (done.returncode, done.stderr) == (0, "")
  return json.loads(done.stdout)


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_each_signal_to_stop_is_noted_in_the_garbage_collector(name):
  seen, reason = _run(name)
  assert seen == [[True, False]] and f"SIG{name}" in reason


def test_saving_is_asked_for_each_time_and_stops_nothing():
  seen, _ = _run("USR2", "USR2", "USR2")
  assert seen == [[False, True]] * 3


def test_three_signals_are_as_one():
  seen, reason = _run("TERM", "TERM", "TERM")
  assert seen == [[True, False]] * 3 and reason == "interrupted (SIGTERM)"


def test_a_requeue_stays_one_when_it_is_terminated_too():
  assert _run("USR1", "TERM")[1] == "to be queued again (SIGUSR1)"


def test_what_is_ignored_stays_ignored():
  """As `nohup` does with SIGHUP."""
  nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
  seen, _ = _run("HUP", how="as it is", prefix=nohup)
  assert seen == [[False, False]]


@pytest.fixture
def asked(monkeypatch):
  """A run that was asked to stop."""
  monkeypatch.setattr(interruption, "_stop_name", "SIGTERM")


def test_everything_but_training_stops_where_it_may(asked):
  for call in (
    interruption.check,
    lambda: stage_progress.begin("probes"),
    lambda: stage_progress.note(1, 2),
    lambda: map_batches(dict, {"x": np.ones(1)}, 1, sharding.make_mesh()),
  ):
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
      call()


def test_training_validates_and_stops_in_its_own_way(asked):
  with interruption.deferred():
    interruption.check()
    stage_progress.note(1, 2)
    assert interruption.is_stop_requested()


def test_a_program_that_installs_nothing_gets_its_handlers_back():
  before = {n: signal.getsignal(n) for n in interruption.numbers()}
  with interruption.deferred():
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.is_stop_requested()
  assert not interruption.is_stop_requested()
  assert {n: signal.getsignal(n) for n in interruption.numbers()} == before
