"""Tests of what a running stage shows, with a clock that the tests set."""

import datetime
import io
import json
import math
import os
import re
import sys

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from magvit3d.monitoring import monitor


class _Clock:
  """Seconds since 1970, moved by hand."""

  def __init__(self):
    self.now_s = 1_000_000.0

  def __call__(self):
    return self.now_s


@pytest.fixture
def clock():
  return _Clock()


@pytest.fixture
def make_monitor(tmp_path, clock):
  def make(total_steps=100, log_every_steps=10, **kwargs):
    return monitor.Monitor(
      tmp_path,
      "tokenizer",
      total_steps,
      log_every_steps,
      clock=clock,
      **kwargs,
    )

  return make


def _status(workdir):
  return json.loads((workdir / "status.json").read_text())


def _records(workdir):
  lines = (workdir / "tokenizer" / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_the_rate_leaves_out_the_first_step(make_monitor, tmp_path, clock):
  with make_monitor() as run:
    run.start(0)
    clock.now_s += 600  # Compilation.
    run.log(1, {"train/loss": 3.0})
    assert _status(tmp_path)["steps_per_second"] is None
    assert _status(tmp_path)["eta_seconds"] is None
    clock.now_s += 18
    run.log(10, {"train/loss": 2.0})
    status = _status(tmp_path)
    assert status["steps_per_second"] == pytest.approx(0.5)
    assert status["eta_seconds"] == pytest.approx(180)
    run.finish("DONE")


def test_the_rate_leaves_out_what_was_before_a_resume(
  make_monitor, tmp_path, clock
):
  with make_monitor() as run:
    run.start(60)
    clock.now_s += 600
    run.log(61, {})
    clock.now_s += 9
    run.log(70, {})
    assert _status(tmp_path)["steps_per_second"] == pytest.approx(1)
    assert _status(tmp_path)["eta_seconds"] == pytest.approx(30)
    run.finish("DONE")


def test_a_second_record_of_a_step_does_not_change_the_rate(
  make_monitor, tmp_path, clock
):
  with make_monitor() as run:
    run.start(0)
    for step in (10, 20):
      clock.now_s += 5
      run.log(step, {"train/loss": 1.0})
    clock.now_s += 1000
    run.log(20, {"validation/psnr": 30.0})
    assert _status(tmp_path)["steps_per_second"] == pytest.approx(2)
    assert _status(tmp_path)["loss"] == 1.0
    run.finish("DONE")
  assert "train/steps_per_second" not in _records(tmp_path)[-1]


def test_without_a_terminal_each_interval_is_one_flushed_line(
  make_monitor, clock, monkeypatch
):
  writes = []

  class Stream(io.StringIO):
    def flush(self):
      writes.append(self.getvalue())

  monkeypatch.setattr(sys, "stdout", Stream())
  monkeypatch.setattr(sys, "stderr", io.StringIO())
  with make_monitor() as run:
    run.start(0)
    for step in (1, 10):
      clock.now_s += 9
      run.log(
        step, {"train/loss": 2.34567, "train/learning_rate": 1e-4, "psnr": 20}
      )
    flushed = writes[-1]
    run.finish("DONE")
  assert sys.stderr.getvalue() == ""
  assert flushed.splitlines() == [
    "tokenizer 1/100 1.0%  loss 2.346  psnr 20  ? steps/s  ETA ?",
    "tokenizer 10/100 10.0%  loss 2.346  psnr 20  1 steps/s  ETA 0:01:30",
  ]


def test_a_terminal_gets_a_bar_with_our_eta(
  make_monitor, clock, monkeypatch, capsys
):
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  monkeypatch.setattr(sys, "stderr", Terminal())
  with make_monitor() as run:
    run.start(40)
    for step in (41, 50):
      clock.now_s += 9
      run.log(step, {"train/loss": 2.0})
    assert "tokenizer" not in capsys.readouterr().out
    run.finish("DONE")
  shown = sys.stderr.getvalue()
  assert re.search(r"tokenizer  50%\|.*\| 50/100.*ETA 0:00:50", shown)


def test_a_terminal_without_a_size_gets_lines(
  make_monitor, monkeypatch, capsys
):
  with open(os.devnull, "w") as stream:
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: (0, 0))
    monkeypatch.setattr(sys, "stderr", stream)
    with make_monitor() as run:
      run.start(0)
      run.log(100, {"train/loss": 2.0})
  assert "tokenizer 100/100 100.0%" in capsys.readouterr().out


def test_the_files_say_how_the_run_is(make_monitor, tmp_path, clock):
  with make_monitor() as run:
    run.start(0)
    assert _status(tmp_path)["state"] == "RUNNING"
    for step in (10, 20):
      clock.now_s += 5
      run.log(step, {"train/g_loss": 0.5, "train/d_loss": 1.5})
    status = _status(tmp_path)
    text = (tmp_path / "PROGRESS.txt").read_text()
    run.finish("DONE")
  last_step = datetime.datetime.fromisoformat(status["last_step"])
  assert last_step.timestamp() == clock.now_s
  assert (status["stage"], status["step"]) == ("tokenizer", 20)
  assert (status["loss_name"], status["loss"]) == ("train/g_loss", 0.5)
  for part in (
    "RUNNING",
    "20/100 (20.0%)",
    "0.5 (train/g_loss)",
    "2 steps/s",
    "0:00:40",
    status["last_step"],
  ):
    assert part in text
  assert _status(tmp_path)["state"] == "DONE"
  assert "ETA" not in (tmp_path / "PROGRESS.txt").read_text()


def test_scalars_are_in_jsonl_and_tensorboard(make_monitor, tmp_path):
  with make_monitor() as run:
    run.start(0)
    run.log(10, {"train/loss": np.float32(0.5), "train/x": float("nan")})
    run.log(100, {"train/loss": 0.25})
  assert [r["train/loss"] for r in _records(tmp_path)] == [0.5, 0.25]
  assert [r["step"] for r in _records(tmp_path)] == [10, 100]
  assert _scalars(tmp_path) == [
    ("train/loss", 10, 0.5),
    ("train/loss", 100, 0.25),
  ]


def _scalars(workdir):
  scalars = []
  for path in sorted((workdir / "tokenizer" / "tensorboard").iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], "little")
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[16 + length :]
      scalars += [
        (v.tag, event.step, v.simple_value) for v in event.summary.value
      ]
  return scalars


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_null(make_monitor, tmp_path, value):
  def refuse(name):
    raise AssertionError(f"{name} is not JSON")

  with make_monitor() as run:
    run.start(0)
    run.log(10, {"train/loss": value})
    run.finish("DONE")
  metrics = (tmp_path / "tokenizer" / "metrics.jsonl").read_text()
  assert json.loads(metrics, parse_constant=refuse)["train/loss"] is None
  status = (tmp_path / "status.json").read_text()
  assert json.loads(status, parse_constant=refuse)["loss"] is None


def test_a_resume_drops_the_steps_that_come_again(make_monitor, tmp_path):
  with make_monitor() as run:
    run.start(0)
    for step in (10, 20, 30):
      run.log(step, {"train/loss": 1.0})
    run.finish("INTERRUPTED")
  with (tmp_path / "tokenizer" / "metrics.jsonl").open("a") as file:
    file.write('{"step": 31, "train/lo')
  with make_monitor() as run:
    run.start(20)
    for step in (30, 40):
      run.log(step, {"train/loss": 2.0})
    run.finish("DONE")
  assert [(r["step"], r["train/loss"]) for r in _records(tmp_path)] == [
    (10, 1.0),
    (20, 1.0),
    (30, 2.0),
    (40, 2.0),
  ]


def test_a_run_from_the_start_keeps_no_old_steps(make_monitor, tmp_path):
  for loss in (1.0, 2.0):
    with make_monitor() as run:
      run.start(0)
      run.log(0, {"validation/loss": loss})
      run.finish("DONE")
  assert [r["validation/loss"] for r in _records(tmp_path)] == [2.0]


@pytest.mark.parametrize(
  "error, state, reason",
  [
    (ValueError("loss is NaN"), "FAILED", "ValueError: loss is NaN"),
    (KeyboardInterrupt(), "INTERRUPTED", "KeyboardInterrupt"),
  ],
)
def test_an_exception_leaves_its_reason_and_passes_on(
  make_monitor, tmp_path, capsys, error, state, reason
):
  with pytest.raises(type(error)) as caught, make_monitor() as run:
    run.start(0)
    run.log(10, {"train/loss": 1.0})
    raise error
  assert caught.value is error
  assert _status(tmp_path)["state"] == state
  assert _status(tmp_path)["reason"] == reason
  assert f"{state}: {reason}" in (tmp_path / "PROGRESS.txt").read_text()
  output = capsys.readouterr().out
  assert f"tokenizer {state} at step 10/100" in output
  assert (reason in output) == (state == "FAILED")  # A program says the other.


def test_a_stage_that_fails_before_its_first_step_says_so(
  make_monitor, tmp_path
):
  with pytest.raises(ValueError), make_monitor():
    raise ValueError("no data")
  assert _status(tmp_path)["reason"] == "ValueError: no data"


def test_a_full_disk_does_not_hide_why_the_run_failed(
  make_monitor, monkeypatch, capsys
):
  def fail(*_):
    raise OSError("disk full")

  with pytest.raises(ValueError, match="loss is NaN"):
    with make_monitor() as run:
      run.start(0)
      monkeypatch.setattr("os.replace", fail)
      raise ValueError("loss is NaN")
  assert "disk full" in capsys.readouterr().out


@pytest.mark.parametrize("step, state", [(100, "DONE"), (90, "INTERRUPTED")])
def test_leaving_normally_is_done_only_after_the_last_step(
  make_monitor, tmp_path, step, state
):
  with make_monitor() as run:
    run.start(0)
    run.log(step, {})
  assert _status(tmp_path)["state"] == state


def test_what_was_finished_stays_finished(make_monitor, tmp_path):
  with make_monitor() as run:
    run.start(0)
    run.finish("FAILED", "too many skipped steps")
    with pytest.raises(RuntimeError, match=r"nothing after finish\(\)"):
      run.log(10, {})
  assert _status(tmp_path)["reason"] == "too many skipped steps"


def test_other_processes_are_silent(make_monitor, tmp_path, capsys):
  with make_monitor(is_main_process=False) as run:
    run.start(0)
    run.log(100, {"train/loss": 1.0})
  assert list(tmp_path.iterdir()) == []
  captured = capsys.readouterr()
  assert captured.out == captured.err == ""


def test_log_steps_are_the_first_each_interval_and_the_last(make_monitor):
  run = make_monitor(total_steps=45, is_main_process=False)
  run.start(12)
  due = [step for step in range(13, 46) if run.is_log_step(step)]
  assert due == [13, 20, 30, 40, 45]


def test_misuse_is_explained(make_monitor):
  with pytest.raises(ValueError, match="log_every_steps=0"):
    make_monitor(log_every_steps=0)
  run = make_monitor(is_main_process=False)
  with pytest.raises(RuntimeError, match=r"call start\(step\) first"):
    run.log(1, {})
  run.start(50)
  with pytest.raises(ValueError, match="step 40 after step 50"):
    run.log(40, {})
  with pytest.raises(ValueError, match="'RUNNING'"):
    run.finish("RUNNING")
