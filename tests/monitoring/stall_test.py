"""Tests of stalls and activities in the files of a run."""

import functools
import io
import itertools
import json
import sys
import threading

import pytest

from magvit3d.config.run import MonitoringConfig
from magvit3d.monitoring import monitor


class _Clock:
  def __init__(self):
    self.now_s = 1_000_000.0

  def __call__(self):
    return self.now_s


class _NoWatchdog:
  """The tests call `check` themselves."""

  made = None

  def __init__(self, check, interval_s):
    self.interval_s = interval_s
    self.is_stopped = False
    _NoWatchdog.made = self

  def stop(self):
    self.is_stopped = True


def _no_thread(*_):
  raise AssertionError("A process that writes nothing needs no watchdog.")


@pytest.fixture
def clock():
  return _Clock()


@pytest.fixture
def make_run(tmp_path, clock):
  """A run that stalls after 100 s."""
  return functools.partial(
    monitor.Monitor,
    tmp_path,
    "tokenizer",
    1000,
    10,
    clock=clock,
    options=MonitoringConfig(stall_after_s=100.0),
    make_watchdog=_NoWatchdog,
  )


@pytest.fixture
def run(make_run, clock):
  """The same after ten steps of 1 s."""
  with make_run() as run:
    run.start(0)
    for step in range(1, 11):
      clock.now_s += 1
      run.beat(step)
    yield run


def _status(workdir):
  return json.loads((workdir / "status.json").read_text())


def test_a_beat_touches_no_file_and_a_check_refreshes_them(
  run, tmp_path, clock
):
  before = (tmp_path / "status.json").read_bytes()
  clock.now_s += 1
  run.beat(11)
  assert (tmp_path / "status.json").read_bytes() == before
  clock.now_s += 3
  run.check()
  status = _status(tmp_path)
  assert (status["state"], status["step"]) == ("RUNNING", 11)
  assert status["seconds_since_last_step"] == 3.0
  text = (tmp_path / "PROGRESS.txt").read_text()
  assert "11/1000" in text and "(0:00:03 ago when updated)" in text


def test_a_stall_is_told_once_and_so_is_its_end(run, tmp_path, clock, capsys):
  clock.now_s += 100
  run.check()
  assert _status(tmp_path)["state"] == "RUNNING"
  assert capsys.readouterr().out == ""
  clock.now_s += 1
  run.check()
  status = _status(tmp_path)
  assert (status["state"], status["step"]) == ("STALLED", 10)
  assert status["seconds_since_last_step"] == 101.0
  assert "no step since" in status["reason"]
  assert status["eta_seconds"] is None
  assert "STALLED" in (tmp_path / "PROGRESS.txt").read_text()
  line = capsys.readouterr().out
  assert "tokenizer STALLED in training after step 10" in line
  assert "0:01:41" in line and line.count("\n") == 1
  clock.now_s += 50
  run.check()
  assert capsys.readouterr().out == ""
  assert _status(tmp_path)["seconds_since_last_step"] == 151.0
  run.beat(11)
  run.check()
  assert _status(tmp_path)["state"] == "RUNNING"
  assert capsys.readouterr().out == "tokenizer RUNNING again at step 11\n"


def test_a_log_ends_a_stall_at_once(run, tmp_path, clock, capsys):
  clock.now_s += 101
  run.check()
  run.log(11, {"train/loss": 1.0})
  assert _status(tmp_path)["state"] == "RUNNING"
  assert "RUNNING again at step 11\n" in capsys.readouterr().out
  run.check()
  assert capsys.readouterr().out == ""


def test_a_stall_leaves_where_the_main_thread_is(run, tmp_path, clock):
  clock.now_s += 101
  checker = threading.Thread(target=run.check)
  checker.start()
  checker.join(30)
  text = (tmp_path / "stalled.txt").read_text()
  assert "stalled in training after step 10" in text
  assert "test_a_stall_leaves_where_the_main_thread_is" in text


def test_compiling_may_take_longer(make_run, tmp_path, clock):
  with make_run() as run:
    run.start(0)
    clock.now_s += 599
    run.check()
    assert _status(tmp_path)["state"] == "RUNNING"
    clock.now_s += 2
    run.check()
    assert _status(tmp_path)["state"] == "STALLED"


def test_an_activity_is_shown_and_may_take_longer(run, tmp_path, clock):
  with run.activity("validation"):
    assert _status(tmp_path)["activity"] == "validation"
    clock.now_s += 599
    run.check()
    assert _status(tmp_path)["state"] == "RUNNING"
    clock.now_s += 2
    run.check()
    assert _status(tmp_path)["state"] == "STALLED"
  run.check()
  status = _status(tmp_path)
  assert (status["state"], status["activity"]) == ("RUNNING", "training")
  assert status["seconds_since_last_step"] == 601.0


def test_a_log_is_a_step_too(run, tmp_path, clock):
  clock.now_s += 90
  run.log(20, {"train/loss": 1.0})
  clock.now_s += 90
  run.check()
  assert (_status(tmp_path)["state"], _status(tmp_path)["step"]) == (
    "RUNNING",
    20,
  )


def test_nothing_is_written_after_the_end(run, tmp_path, clock):
  run.finish("FAILED", "no data")
  assert _NoWatchdog.made.is_stopped
  before = (tmp_path / "status.json").read_bytes()
  clock.now_s += 1000
  run.check()
  with run.activity("saving"):
    pass
  assert (tmp_path / "status.json").read_bytes() == before
  assert not (tmp_path / "stalled.txt").exists()


def test_the_end_waits_for_a_check_that_is_writing(run, tmp_path, monkeypatch):
  """What the other thread writes is never the last word."""
  is_writing, may_write = threading.Event(), threading.Event()
  write = monitor.Status.write

  def write_slowly(status, workdir):
    if threading.current_thread() is checker:
      is_writing.set()
      may_write.wait(30)
    write(status, workdir)

  monkeypatch.setattr(monitor.Status, "write", write_slowly)
  checker = threading.Thread(target=run.check)
  checker.start()
  is_writing.wait(30)
  finisher = threading.Thread(target=run.finish, args=("DONE",))
  finisher.start()
  finisher.join(0.05)
  may_write.set()
  checker.join(30)
  finisher.join(30)
  assert _status(tmp_path)["state"] == "DONE"


def test_a_real_watchdog_refreshes_and_ends_with_the_run(tmp_path, clock):
  is_refreshed = threading.Event()

  class Watched(monitor.Monitor):
    def check(self):
      super().check()
      is_refreshed.set()

  options = MonitoringConfig(stall_after_s=0.01)
  with Watched(
    tmp_path, "tokenizer", 10, 1, clock=clock, options=options
  ) as run:
    run.start(0)
    assert is_refreshed.wait(30)
    run.log(10, {})
  names = [thread.name for thread in threading.enumerate()]
  assert "magvit3d-watchdog" not in names
  assert _status(tmp_path)["state"] == "DONE"


def test_what_is_done_in_place_of_steps_is_said_every_ten_seconds(
  run, clock, capsys
):
  assert _NoWatchdog.made.interval_s == monitor.LOOK_S
  times = []
  with run.activity("validation"):
    for _ in range(20):
      clock.now_s += monitor.LOOK_S
      run.check()
      if line := capsys.readouterr().out:
        assert line.startswith("tokenizer 10/1000") and "validation, " in line
        times.append(clock.now_s)
  assert len(times) >= 6
  assert max(b - a for a, b in itertools.pairwise(times)) < 10


def test_a_full_disk_is_told_once_and_ends_nothing(
  run, tmp_path, clock, monkeypatch, capsys
):
  def fail(*_):
    raise OSError("disk full")

  with monkeypatch.context() as context:
    context.setattr("os.replace", fail)
    run.check()
    run.check()
  assert capsys.readouterr().out.count("disk full") == 1
  run.check()
  assert _status(tmp_path)["state"] == "RUNNING"


def test_other_processes_beat_in_silence(tmp_path, clock, capsys):
  with monitor.Monitor(
    tmp_path,
    "tokenizer",
    10,
    1,
    is_main_process=False,
    clock=clock,
    make_watchdog=_no_thread,
  ) as run:
    run.start(0)
    run.beat(1)
    with run.activity("validation"):
      run.beat(2)
    run.log(10, {})
  assert list(tmp_path.iterdir()) == []
  assert capsys.readouterr().out == ""


def test_the_line_of_a_stall_stands_above_the_bar(
  tmp_path, clock, monkeypatch, capsys
):
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  monkeypatch.setattr(sys, "stderr", Terminal())
  with monitor.Monitor(
    tmp_path, "tokenizer", 10, 1, clock=clock, make_watchdog=_NoWatchdog
  ) as run:
    run.start(0)
    clock.now_s += 1e5
    run.check()
    run.finish("DONE")
  assert "STALLED" not in capsys.readouterr().out
  assert "STALLED in training after step 0" in sys.stderr.getvalue()
