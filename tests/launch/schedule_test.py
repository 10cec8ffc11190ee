"""Tests of the order of tasks, and of their folders, without a real run."""

import dataclasses
import json
import os

import pytest

from data_gen.files import folder_lock
from launch import (
  local_runs,
  schedule,
  sweep_record,
  sweep_status,
  task_folder,
)
from launch.points import Task
from magvit3d.errors import UserError

_STAGES = ("data", "tokenizer")


def _tasks():
  data = Task(
    "shared/data-1", ("--config=a", "--config.stages=data"), ("data",)
  )
  points = [
    Task(
      f"points/{number}",
      ("--config=a", f"--config.b={number}"),
      _STAGES,
      {"b": str(number)},
      data.name,
    )
    for number in range(3)
  ]
  return [data, *points]


class _Runs:
  """Ends each task at the look after its start, and says in what order."""

  poll_s = 0.0

  def __init__(self, output, max_parallel=1, statuses=None):
    self._output, self.max_parallel = output, max_parallel
    self._statuses = statuses or {}
    self._now, self.order, self.most = [], [], 0
    self.is_stopped = False

  def adopt(self, tasks):
    pass

  def start(self, task):
    task_folder.forget_end(self._output, task)
    self._now.append(task)
    self.order.append(task.name)
    self.most = max(self.most, len(self._now))

  def running(self):
    for task in self._now:
      status = self._statuses.get(task.name, 0)
      folder = self._output / task.name
      if status == 0:
        stages = {name: {"status": "done"} for name in task.stages}
        (folder / "stages.json").write_text(json.dumps(stages))
        (folder / "config.json").write_text("{}")
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / "shard").write_text("x")
      text = "== Begun at 1\nError: it broke.\nAnother line\n"
      (folder / "log.txt").write_text(text)
      task_folder.note_end(self._output, task, status)
    self._now = []
    return []

  def stop(self):
    self.is_stopped = True
    return ""


def _run(output, statuses=None, max_parallel=1, retries=False):
  runs = _Runs(output, max_parallel, statuses)
  found = schedule.run(output, _tasks(), runs, retries=retries)
  return runs, {task.name: state for task, state in found.items()}


def test_what_is_shared_comes_first_and_points_are_side_by_side(tmp_path):
  runs, states = _run(tmp_path, max_parallel=2)
  assert runs.order == ["shared/data-1", "points/0", "points/1", "points/2"]
  assert runs.most == 2
  assert {state.kind for state in states.values()} == {"done"}
  again, _ = _run(tmp_path)
  assert again.order == []


def test_others_go_on_where_a_point_fails_and_retry_begins_it_again(tmp_path):
  _, states = _run(tmp_path, {"points/0": 1})
  assert states["points/0"].kind == "failed"
  log = tmp_path / "points/0/log.txt"
  assert states["points/0"].reason == f"it broke. (log: {log})"
  assert states["points/2"].kind == "done"
  again, _ = _run(tmp_path)
  assert again.order == []
  again, states = _run(tmp_path, retries=True)
  assert again.order == ["points/0"] and states["points/0"].kind == "done"


def test_stages_of_another_task_do_not_make_a_point_that_failed_done(tmp_path):
  """All that the point has are those that it takes."""
  data, point, *_ = _tasks()
  tasks = [data, dataclasses.replace(point, stages=data.stages)]
  runs = _Runs(tmp_path, statuses={point.name: 1})
  found = schedule.run(tmp_path, tasks, runs, retries=False)
  assert [state.kind for state in found.values()] == ["done", "failed"]
  runs = _Runs(tmp_path)
  found = schedule.run(tmp_path, tasks, runs, retries=True)
  assert runs.order == [point.name] and found[tasks[1]].kind == "done"


def test_points_wait_for_what_failed(tmp_path):
  runs, states = _run(tmp_path, {"shared/data-1": -9})
  assert runs.order == ["shared/data-1"]
  assert "killed by SIGKILL" in states["shared/data-1"].reason
  assert states["points/1"].kind == "blocked"
  assert "shared/data-1, which failed" in states["points/1"].reason


def test_a_run_that_was_stopped_is_begun_once_and_stays_open(tmp_path):
  # The second one: by SIGTERM, before it handled that.
  runs, states = _run(tmp_path, {"points/1": 130, "points/2": -15})
  assert runs.order.count("points/1") == 1
  assert states["points/2"].kind == "open"
  assert states["points/1"].kind == "open"
  again, _ = _run(tmp_path)
  assert again.order == ["points/1", "points/2"]


def test_an_end_without_all_stages_is_no_success(tmp_path):
  class Silent(_Runs):
    def running(self):
      for task in self._now:
        task_folder.note_end(self._output, task, 0)
      self._now = []
      return []

  states = schedule.run(tmp_path, _tasks(), Silent(tmp_path), retries=False)
  assert "before its stages were done" in states[_tasks()[0]].reason


def test_the_executor_is_stopped_whatever_comes(tmp_path):
  class Broken(_Runs):
    def start(self, task):
      raise KeyboardInterrupt

  runs = Broken(tmp_path)
  with pytest.raises(KeyboardInterrupt):
    schedule.run(tmp_path, _tasks(), runs, retries=False)
  assert runs.is_stopped


def test_the_last_words_are_of_the_last_attempt(tmp_path):
  task = _tasks()[0]
  task_folder.prepare(tmp_path, task)
  log = tmp_path / task.name / "log.txt"
  for text, words in (
    ("== Begun at 1\nError: full.\nmore\n", "full."),
    ("== Begun at 2\nTraceback\nValueError: x\n\n", "ValueError: x"),
    ("== Begun at 3\n", "it said nothing"),
  ):
    with log.open("a") as file:
      file.write(text)
    task_folder.note_end(tmp_path, task, 1)
    assert task_folder.read_end(tmp_path, task)["words"] == words


def _make_share(output):
  """A shared run with all kinds of files; returns it and its task."""
  task = Task("shared/t", (), _STAGES)
  task_folder.prepare(output, task)
  share = output / "shared" / "t"
  names = (
    *("stages.json", "config.json", "status.json", "log.txt", "end.json"),
    *("data/shard-0.tfrecord", "data/.data_gen.lock", ".magvit3d.lock"),
    *("tokenizer/metrics.jsonl", "tokenizer/tensorboard/events"),
    *("tokenizer/checkpoints/6/state/d/0", "data/.x.123.tmp"),
  )
  for name in names:
    (share / name).parent.mkdir(parents=True, exist_ok=True)
    (share / name).write_text(name)
  return share


def test_a_point_takes_stages_by_links_but_appends_to_files_of_its_own(
  tmp_path,
):
  output = tmp_path / "checkpoints" / "data"  # Whatever it is called.
  share = _make_share(output)
  point = Task("points/0", ("--config=a",), _STAGES, {"a": "1"}, "shared/t")
  task_folder.prepare(output, point)
  folder = output / "points" / "0"
  files = {
    path.relative_to(folder).as_posix(): path.samefile(
      share / path.relative_to(folder)
    )
    for path in folder.rglob("*")
    if path.is_file() and path.name != "task.json"
  }
  assert files == {
    "stages.json": False,
    "tokenizer/metrics.jsonl": False,
    "tokenizer/tensorboard/events": False,
    "tokenizer/checkpoints/6/state/d/0": True,
    "data/shard-0.tfrecord": True,
  }
  assert json.loads((folder / "task.json").read_text()) == {
    "flags": ["--config=a"],
    "values": {"a": "1"},
    "stages_from": "shared/t",
  }


def test_a_half_made_folder_is_never_taken(tmp_path, monkeypatch):
  _make_share(tmp_path)
  point = Task("points/0", (), _STAGES, {}, "shared/t")

  def full(source, target):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "link", full)
  monkeypatch.setattr(task_folder.shutil, "copy2", full)
  with pytest.raises(UserError, match="points/0 cannot be written"):
    task_folder.prepare(tmp_path, point)
  assert list((tmp_path / "points").iterdir()) == []
  monkeypatch.undo()
  task_folder.prepare(tmp_path, point)
  assert (tmp_path / "points/0/data/shard-0.tfrecord").exists()


def test_a_run_that_a_killed_sweep_left_is_waited_for(tmp_path, monkeypatch):
  program = tmp_path / "program"
  program.write_text("#!/bin/sh\nexec sleep 100\n")
  program.chmod(0o755)
  monkeypatch.setattr(task_folder.sys, "executable", str(program))
  task, *others = _tasks()
  task_folder.prepare(tmp_path, task)
  left = task_folder.start(tmp_path, task, os.environ, in_session=False)
  try:
    runs = local_runs.LocalRuns(tmp_path, 1)
    runs.adopt([task, *others])
    assert runs.running() == [task]
    with pytest.raises(
      UserError, match="shared/data-1 is in use by another run"
    ):
      task_folder.start(tmp_path, task, os.environ, in_session=False)
    with folder_lock.held(tmp_path / "shared/data-1/.magvit3d.lock"):
      assert (
        task_folder.find_owner(tmp_path / "shared/data-1").process
        == os.getpid()
      )
  finally:
    left.kill()
    left.wait()
  assert runs.running() == []


def test_another_sweep_in_the_folder_is_told(tmp_path):
  tasks = _tasks()
  sweep_record.check(tmp_path, tasks)
  sweep_record.check(tmp_path, tasks)
  assert sweep_record.read(tmp_path) == tasks
  with pytest.raises(UserError, match=r"another sweep: it has 4 runs and .* 3"):
    sweep_record.check(tmp_path, tasks[:3])
  other = [
    *tasks[:3],
    Task("points/2", ("--config=a", "--config.b=9"), _STAGES),
  ]
  with pytest.raises(
    UserError, match=r"has --config\.b=2 there and .*b=9 here"
  ):
    sweep_record.check(tmp_path, other)
  other = [dataclasses.replace(tasks[0], config="1"), *tasks[1:]]
  with pytest.raises(UserError, match=r"file of --config has changed since"):
    sweep_record.check(tmp_path, other)
  (tmp_path / "sweep.json").write_text("{")
  with pytest.raises(UserError, match=r"sweep\.json cannot be read"):
    sweep_record.check(tmp_path, tasks)


def test_the_table_has_all_points(tmp_path, capsys):
  sweep_record.check(tmp_path, _tasks())
  _run(tmp_path, {"points/1": 1, "points/2": 130})
  (tmp_path / "points/2/log.txt").unlink()  # As before its start.
  assert sweep_status.show(tmp_path)
  lines = [line.split() for line in capsys.readouterr().out.splitlines()]
  assert [line[:2] for line in lines if line[0].startswith(("p", "s"))] == [
    ["shared/data-1", "DONE"],
    ["points/0", "DONE"],
    ["points/1", "FAILED"],
    ["points/2", "WAITING"],
  ]
  assert lines[-1][:2] == ["3", "points:"]
  (tmp_path / "points/2/log.txt").write_text("== Begun")
  stages = {"tokenizer": {"status": "pending", "seconds": 0.0}}
  (tmp_path / "points/2/stages.json").write_text(json.dumps(stages))
  sweep_status.show(tmp_path)
  *_, row, reason, last = capsys.readouterr().out.splitlines()
  assert row.split()[:2] == ["points/2", "RUNNING"]
  assert reason.strip() == "it starts"
  assert last == "3 points: 1 DONE, 1 FAILED, 1 RUNNING."
  _run(tmp_path, retries=True)
  assert not sweep_status.show(tmp_path)
