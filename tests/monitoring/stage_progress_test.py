"""A stage without steps is never silent, and its files say how far it is."""

import itertools
import json

import pytest

from magvit3d import status
from magvit3d.monitoring import stage_progress
from magvit3d.monitoring.stage_progress import StageProgress

_PARTS = {"tokens": 10.0, "probes": 30.0, "tables": 10.0}


class _Clock:
  """Time that passes only here; the watchdog looks as often as it asked."""

  def __init__(self):
    self.now_s = 1_000_000.0
    self._look = None

  def __call__(self):
    return self.now_s

  def make_watchdog(self, look, interval_s):
    self._look, self._interval_s = look, interval_s
    return self

  def stop(self):
    self._look = None

  def sleep(self, seconds):
    for _ in range(round(seconds / self._interval_s)):
      self.now_s += self._interval_s
      self._look()


@pytest.fixture
def clock():
  return _Clock()


def _start(clock, workdir, **options):
  return StageProgress(
    workdir,
    "evaluate",
    _PARTS,
    clock=clock,
    make_watchdog=clock.make_watchdog,
    **options,
  )


def _status(workdir):
  return json.loads((workdir / "status.json").read_text())


def test_lines_are_at_most_ten_seconds_apart(tmp_path, clock, monkeypatch):
  times = []

  def note_time(self, step, texts):
    times.append(clock.now_s)

  monkeypatch.setattr(stage_progress.Screen, "tell", note_time)
  began_s = clock.now_s
  with _start(clock, tmp_path):
    clock.sleep(25)  # A long compilation: nothing is noted.
    stage_progress.begin("probes")
    for number in range(200):
      stage_progress.note(number, 200)
      clock.sleep(1)
  times = [began_s, *times, clock.now_s]
  gaps = [b - a for a, b in itertools.pairwise(times)]
  assert times[1] == began_s and max(gaps) <= 10
  assert len(times) < 225 / 5  # And not at each look either.


def test_a_line_has_part_time_in_it_share_and_time_left(
  tmp_path, clock, capsys
):
  with _start(clock, tmp_path):
    assert capsys.readouterr().out == (
      "evaluate 0/100 0.0%  tokens, 0 s  ETA ?\n"
    )
    clock.sleep(20)
    stage_progress.begin("probes")  # 10 of 50 took 20 s: 80 s are left.
    capsys.readouterr()
    clock.sleep(10)
    assert capsys.readouterr().out.startswith("evaluate 20/100 20.0%  probes, ")
    stage_progress.note(1, 3)
    clock.sleep(8)
    # 20 of 50 took 30 s: 45 s were left then.
    line = capsys.readouterr().out.splitlines()[-1]
    seconds = int(line.split("ETA 0:00:")[1])
    assert line.startswith("evaluate 40/100 40.0%  probes, ")
    assert 45 - 8 <= seconds <= 45
  assert "evaluate DONE after 0:00:38" in capsys.readouterr().out


def test_a_part_that_comes_again_does_not_go_back(tmp_path, clock, capsys):
  with _start(clock, tmp_path):
    clock.sleep(1)
    stage_progress.begin("tables")
    stage_progress.begin("tokens")
    capsys.readouterr()
    clock.sleep(8)
    assert "evaluate 80/100 80.0%  tokens, " in capsys.readouterr().out


def test_the_files_say_what_is_under_way(tmp_path, clock):
  with _start(clock, tmp_path):
    clock.sleep(10)
    stage_progress.begin("probes")
    clock.sleep(10)
    found = _status(tmp_path)
    assert (found["state"], found["stage"]) == ("RUNNING", "evaluate")
    assert (found["activity"], found["step"], found["loss"]) == (
      "probes", 20, None,
    )  # fmt: skip
    assert found["eta_seconds"] == pytest.approx(40)
    text = (tmp_path / "PROGRESS.txt").read_text()
    assert "activity   probes\n" in text and "20/100 (20.0%)" in text
    assert "loss" not in text and "rate" not in text
    run = status.read_run(tmp_path, clock.now_s)
    assert (run.state, run.stage, run.activity) == (
      "RUNNING", "evaluate", "probes",
    )  # fmt: skip
    # Its process was killed: nobody writes any more.
    assert status.read_run(tmp_path, clock.now_s + 1e4).state == "LOST"
  found = _status(tmp_path)
  assert (found["state"], found["step"]) == ("DONE", 100)


def test_how_it_ended_is_in_the_files(tmp_path, clock, capsys):
  with pytest.raises(ValueError), _start(clock, tmp_path):
    raise ValueError("no scenes")
  assert (_status(tmp_path)["state"], _status(tmp_path)["reason"]) == (
    "FAILED", "no scenes",
  )  # fmt: skip
  with pytest.raises(KeyboardInterrupt), _start(clock, tmp_path):
    raise KeyboardInterrupt
  assert _status(tmp_path)["state"] == "INTERRUPTED"
  with _start(clock, tmp_path) as progress:
    progress.result = "Worse than copying."
  assert _status(tmp_path)["reason"] == "Worse than copying."
  run = status.read_run(tmp_path, clock.now_s)
  assert (run.state, run.reason) == ("DONE", "Worse than copying.")


def test_other_processes_say_and_write_nothing(tmp_path, clock, capsys):
  with _start(clock, tmp_path, is_main_process=False):
    stage_progress.begin("probes")
    stage_progress.note(1, 2)
  assert capsys.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_without_a_stage_nothing_is_noted(capsys):
  stage_progress.begin("anything")
  stage_progress.note(1, 2)
  assert capsys.readouterr() == ("", "")
