"""Tests of the summary of runs, on files that the monitor writes."""

import json

import imported_modules
import pytest

from magvit3d import status
from magvit3d.monitoring import monitor

_NOW_S = 1_000_000.0


def _write(folder, state="RUNNING", reason="", age_s=5.0, stage="tokenizer"):
  """Leaves the files of a run that was last heard of `age_s` ago."""
  now_s = [_NOW_S - age_s - 40]
  run = monitor.Monitor(
    folder,
    stage,
    200,
    10,
    clock=lambda: now_s[0],
    make_watchdog=lambda *_: _NoWatchdog(),
  )
  run.start(0)
  for step in (10, 50):
    now_s[0] += 20
    run.log(step, {"train/loss": 0.5})
  if state != "RUNNING":
    run.finish(state, reason)


class _NoWatchdog:
  def stop(self):
    pass


def _stages(folder, **stages):
  folder.mkdir(parents=True, exist_ok=True)
  entries = {
    name: {"status": "pending", "seconds": 0.0} | stage
    for name, stage in stages.items()
  }
  (folder / "stages.json").write_text(json.dumps(entries))


def test_a_live_run_is_told_with_its_numbers(tmp_path):
  _write(tmp_path)
  run = status.read_run(tmp_path, _NOW_S)
  assert (run.state, run.stage, run.activity) == (
    "RUNNING",
    "tokenizer",
    "training",
  )
  assert (run.step, run.total_steps, run.percent) == (50, 200, 25.0)
  assert (run.loss, run.steps_per_second, run.eta_seconds) == (0.5, 2.0, 75.0)
  assert run.seconds_since_last_step == run.seconds_since_update == 5.0
  assert not run.is_in_trouble


@pytest.mark.parametrize("age_s, state", [(119, "RUNNING"), (121, "LOST")])
def test_a_run_that_no_longer_writes_is_lost(tmp_path, age_s, state):
  _write(tmp_path, age_s=age_s)
  run = status.read_run(tmp_path, _NOW_S)
  assert run.state == state
  assert run.is_in_trouble == (state == "LOST")
  assert ("no longer writes" in run.reason) == (state == "LOST")


def test_a_run_that_ended_is_not_lost(tmp_path):
  for state in ("DONE", "INTERRUPTED"):
    _write(tmp_path, state, age_s=1e5)
    run = status.read_run(tmp_path, _NOW_S)
    assert run.state == state and not run.is_in_trouble


def test_the_table_has_the_reason_below_its_run(tmp_path):
  _write(tmp_path / "a")
  _write(tmp_path / "bb", "FAILED", "ValueError: loss is NaN")
  runs = [
    status.read_run(folder, _NOW_S) for folder in status.find_runs(tmp_path)
  ]
  lines = status.table(runs).splitlines()
  assert [line.split()[0] for line in lines[1:3]] == [run.name for run in runs]
  assert lines[1].split()[1:] == (
    "RUNNING tokenizer 50/200 25.0 0.5 2 0:01:15 0:00:05 ago".split()
  )
  assert lines[3] == "  ValueError: loss is NaN"
  state_column = lines[0].index("state")
  assert lines[1][state_column:].startswith("RUNNING")
  assert lines[2][state_column:].startswith("FAILED")


@pytest.mark.parametrize(
  "stages, state, stage",
  [
    # Training is over; what came after it is only in stages.json.
    (
      {
        "tokenizer": {"status": "done"},
        "transformer": {"status": "failed", "reason": "the gate is shut"},
      },
      "FAILED",
      "transformer",
    ),
    (
      {
        "tokenizer": {"status": "done"},
        "evaluate": {"status": "running", "started": "today"},
      },
      "RUNNING",
      "evaluate",
    ),
    (
      {
        "tokenizer": {"status": "done"},
        "evaluate": {"status": "pending", "reason": "interrupted"},
      },
      "INTERRUPTED",
      "evaluate",
    ),
    ({"tokenizer": {"status": "done"}, "report": {}}, "DONE", "tokenizer"),
  ],
)
def test_stages_after_training_are_told_from_stages_json(
  tmp_path, stages, state, stage
):
  _write(tmp_path, "DONE")
  _stages(tmp_path, **stages)
  run = status.read_run(tmp_path, _NOW_S)
  assert (run.state, run.stage) == (state, stage)


@pytest.mark.parametrize(
  "state, noted", [("FAILED", "failed"), ("DONE", "running")]
)
def test_a_training_that_just_ended_keeps_its_numbers(tmp_path, state, noted):
  _write(tmp_path, state, "NaN" if state == "FAILED" else "")
  entry = {"status": noted, "reason": "NaN", "started": "today"}
  _stages(tmp_path, tokenizer=entry)
  run = status.read_run(tmp_path, _NOW_S)
  assert (run.state, run.step) == (state, 50)


def test_stages_that_are_left_are_named(tmp_path):
  _write(tmp_path, "DONE")
  left = {"transformer": {}, "report": {}}
  _stages(tmp_path, tokenizer={"status": "done"}, **left)
  reason = status.read_run(tmp_path, _NOW_S).reason
  assert reason == "not done yet: transformer, report"
  _stages(tmp_path, tokenizer={"status": "done"})
  assert status.read_run(tmp_path, _NOW_S).reason == ""


def test_training_is_told_from_its_own_files(tmp_path):
  """Although stages.json calls a killed or later stage running, too."""
  _write(tmp_path)
  _stages(
    tmp_path,
    data={"status": "done"},
    tokenizer={"status": "running", "started": "today"},
  )
  assert status.read_run(tmp_path, _NOW_S).step == 50
  assert status.read_run(tmp_path, _NOW_S + 1e4).state == "LOST"


def test_a_run_without_training_yet_is_told_from_its_stages(tmp_path):
  _stages(tmp_path, data={"status": "running", "started": "today"})
  run = status.read_run(tmp_path, _NOW_S)
  assert (run.state, run.stage) == ("RUNNING", "data")
  assert "today" in run.reason


@pytest.mark.parametrize("text", ["{", "[1]", '{"state": "RUNNING"}', "7"])
def test_damaged_files_are_trouble_and_no_crash(tmp_path, text):
  (tmp_path / "status.json").write_text(text)
  run = status.read_run(tmp_path, _NOW_S)
  assert run.state == "UNREADABLE" and run.is_in_trouble


def _main(*arguments):
  return status.main([str(argument) for argument in arguments])


def test_a_folder_of_runs_and_its_runs_are_each_shown_once(tmp_path, capsys):
  _write(tmp_path / "b", "DONE")
  _write(tmp_path / "a", "INTERRUPTED")
  (tmp_path / "notes").mkdir()
  (tmp_path / "file.txt").write_text("")
  capsys.readouterr()
  assert _main(tmp_path, tmp_path / "b", "--json") == 0
  found = json.loads(capsys.readouterr().out)
  assert [run["name"] for run in found] == [
    str(tmp_path / "a"),
    str(tmp_path / "b"),
  ]
  assert [run["state"] for run in found] == ["INTERRUPTED", "DONE"]


def test_a_failed_run_is_an_exit_status_of_1(tmp_path, capsys):
  _write(tmp_path / "a", "DONE")
  _write(tmp_path / "b", "FAILED", "no data")
  assert _main(tmp_path) == 1
  assert "no data" in capsys.readouterr().out


def test_what_is_no_run_is_an_error_of_the_call(tmp_path, capsys):
  for folder, message in (
    (tmp_path, "is no run and holds none"),
    (tmp_path / "nowhere", "is no folder"),
  ):
    assert _main(folder) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"Error: {folder} {message}")
  with pytest.raises(SystemExit) as caught:
    _main()
  assert caught.value.code == 2


def test_other_things_beside_runs_are_passed_over(tmp_path, capsys):
  """As `runs/*` names them; but not what is misspelt."""
  _write(tmp_path / "a", "DONE")
  (tmp_path / "comparison.html").write_text("")
  (tmp_path / "notes").mkdir()
  capsys.readouterr()
  assert _main(*sorted(tmp_path.iterdir())) == 0
  assert capsys.readouterr().out.count(str(tmp_path)) == 1
  assert _main(tmp_path / "a", tmp_path / "b") == 2
  assert f"{tmp_path / 'b'} is no folder" in capsys.readouterr().err


def test_the_program_starts_without_jax(tmp_path):
  _write(tmp_path, "DONE")
  program = (
    f"from magvit3d import status\nprint(status.main([{str(tmp_path)!r}]))"
  )
  output, imported = imported_modules.after(program, {"jax", "numpy", "tqdm"})
  assert output.endswith("\n0") and not imported
