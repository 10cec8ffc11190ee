"""Progress: rate and time left, in lines that are not too many, or a bar."""

import os
import pty
import subprocess
import sys
import termios

import pytest
from small_data_sets import ROOT, make_flags, make_options

from data_gen import scene_progress
from data_gen.generate import generate
from data_gen.scene_progress import SceneProgress


@pytest.fixture
def clock(monkeypatch):
  """Seconds as a list of one; the time that the progress sees."""
  now = [100.0]
  monkeypatch.setattr(scene_progress.time, "monotonic", lambda: now[0])
  return now


def test_lines_have_rate_and_time_left_and_come_every_few_seconds(clock):
  lines = []
  progress = SceneProgress(400, lines.append, shows_bar=False)
  for second in range(20):
    clock[0] = 101.0 + second
    progress.add(20)
  assert lines == [
    "100/400 scenes (25%), 20.0 scenes/s, 00:15 left",
    "200/400 scenes (50%), 20.0 scenes/s, 00:10 left",
    "300/400 scenes (75%), 20.0 scenes/s, 00:05 left",
    "400/400 scenes (100%), 20.0 scenes/s, 00:00 left",
  ]


def test_last_line_comes_at_once_and_only_once(clock):
  lines = []
  progress = SceneProgress(3, lines.append, shows_bar=False)
  clock[0] += 0.5
  progress.add(2)
  progress.add(0)
  assert not lines
  progress.add(1)
  progress.add(0)
  assert lines == ["3/3 scenes (100%), 6.0 scenes/s, 00:00 left"]


def test_nothing_done_yet_has_no_time_left(clock):
  lines = []
  progress = SceneProgress(3, lines.append, shows_bar=False)
  clock[0] += 7
  progress.add(0)
  assert lines == ["0/3 scenes (0%), 0.0 scenes/s, unknown time left"]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_scene_is_counted(tmp_path, monkeypatch, num_workers):
  counts = []
  add = SceneProgress.add

  def record(self, count):
    counts.append(count)
    add(self, count)

  monkeypatch.setattr(SceneProgress, "add", record)
  lines = []
  options = make_options(tmp_path, num_workers=num_workers)
  generate(options, log=lines.append)
  assert sum(counts) == 31
  assert lines[-2].startswith("31/31 scenes (100%)")
  if num_workers == 1:
    assert counts == [1] * 31


def _read_all(terminal):
  parts = []
  while True:
    try:
      part = os.read(terminal, 10_000)
    except OSError:  # What Linux says at the end.
      part = b""
    if not part:
      os.close(terminal)
      return b"".join(parts).decode()
    parts.append(part)


def test_terminal_gets_a_bar_and_pipes_get_lines(tmp_path):
  options = make_options(tmp_path)
  command = [sys.executable, "-m", "data_gen", *make_flags(options)]
  master, slave = pty.openpty()
  termios.tcsetwinsize(slave, (24, 80))
  found = subprocess.run(
    command, cwd=ROOT, stdout=subprocess.PIPE, stderr=slave, text=True
  )
  os.close(slave)
  bar = _read_all(master)
  assert found.returncode == 0
  assert "31/31" in bar and "scenes/s" in bar
  assert "31/31" not in found.stdout
