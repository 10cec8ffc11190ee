"""Training goes on without its status and its metrics, and says so once."""

import errno
import json
import os
import pathlib

import pytest

from magvit3d.errors import UserError
from magvit3d.files import atomic_file
from magvit3d.monitoring import monitor
from magvit3d.monitoring.stage_progress import StageProgress


class _Disk:
  """Is full, or is not."""

  def __init__(self, monkeypatch):
    self.is_full = False
    monkeypatch.setattr(
      pathlib.Path, "write_bytes", self._or_full(pathlib.Path.write_bytes)
    )
    monkeypatch.setattr(
      atomic_file, "append", self._or_full(atomic_file.append)
    )

  def _or_full(self, write):
    def act(path, content):
      if self.is_full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
      return write(path, content)

    return act


@pytest.fixture
def disk(monkeypatch):
  return _Disk(monkeypatch)


def _steps(workdir):
  lines = (workdir / "tokenizer" / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["step"] for line in lines]


def test_metrics_come_later_where_they_could_not_be_written(
  disk, tmp_path, capsys
):
  with monitor.Monitor(tmp_path, "tokenizer", 4, 1) as run:
    run.start(0)
    for step in range(1, 5):
      disk.is_full = step in (2, 3)
      run.log(step, {"train/loss": 1.0})
      assert _steps(tmp_path) == (
        [1] if disk.is_full else [*range(1, step + 1)]
      )
  assert capsys.readouterr().out.count("No space left on device") == 1
  assert json.loads((tmp_path / "status.json").read_text())["state"] == "DONE"


def test_old_metrics_go_once_there_is_room(disk, tmp_path):
  """Lines of steps that come again are never there twice."""
  for full in (False, True):
    with monitor.Monitor(tmp_path, "tokenizer", 3, 1) as run:
      disk.is_full = full
      run.start(2 if full else 0)
      disk.is_full = False
      for step in (3,) if full else (1, 2, 3):
        run.log(step, {"train/loss": 1.0})
  assert _steps(tmp_path) == [1, 2, 3]


def test_what_lies_in_place_of_the_metrics_is_set_aside(tmp_path):
  (tmp_path / "tokenizer" / "metrics.jsonl").mkdir(parents=True)
  with monitor.Monitor(tmp_path, "tokenizer", 3, 1) as run:
    run.start(2)
    run.log(3, {"train/loss": 1.0})
  assert _steps(tmp_path) == [3]


def test_event_files_that_fail_do_not_hang_a_run(tmp_path, monkeypatch, capsys):
  """tensorboardX would wait for its thread for ever."""

  def fail(descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  with monitor.Monitor(tmp_path, "tokenizer", 40, 1) as run:
    run.start(0)
    monkeypatch.setattr(os, "fsync", fail)
    for step in range(1, 41):
      run.log(step, {"train/loss": 1.0, "train/other": 2.0})
  told = capsys.readouterr()
  assert told.out.count("Input/output error") == 1
  assert "Traceback" not in told.err
  assert len(_steps(tmp_path)) == 40


@pytest.mark.parametrize("needs_status", [True, False])
def test_evaluation_fails_at_once_and_tokens_go_on(
  disk, tmp_path, needs_status
):
  disk.is_full = True
  progress = StageProgress(
    tmp_path, "evaluate", {"a": 1.0}, needs_status=needs_status
  )
  if not needs_status:
    with progress:
      progress.begin("a")
    return
  with pytest.raises(UserError, match=r"status\.json cannot be written"):
    with progress:
      pytest.fail("It began.")
