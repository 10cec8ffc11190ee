"""Tests of launch/gpu_check.sh and of its programs, on a CPU."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import shrunk

_SCRIPT = shrunk.ROOT / "launch" / "gpu_check.sh"
# In place of Python: a step fails, another one takes long, others do nothing.
_PRETENDER = f"""#!/bin/sh
case "$*" in
  *gpu.summary*) exec {sys.executable} "$@" ;;
  *gpu.smoke*) echo no card; exit 3 ;;
  *gpu.operations*) exec sleep 60 ;;
  *gpu.training*) echo "$@" ;;
esac
"""


def _run_script(*arguments, python=sys.executable):
  environment = shrunk.make_environment() | {"PYTHON": str(python)}
  return subprocess.run(
    [str(_SCRIPT), *map(str, arguments)],
    env=environment,
    capture_output=True,
    text=True,
    timeout=900,
  )


@pytest.fixture
def pretender(tmp_path):
  path = tmp_path / "python"
  path.write_text(_PRETENDER)
  path.chmod(0o755)
  return path


def _read(folder: pathlib.Path, step: str):
  return json.loads((folder / f"{step}.json").read_text())


def test_steps_that_fail_or_take_long_do_not_stop_the_next(tmp_path, pretender):
  output, work = tmp_path / "out", tmp_path / "work"
  done = _run_script(
    f"--output={output}", f"--work={work}", "--minutes=1", python=pretender
  )
  assert done.returncode == 1
  summary = _read(output, "summary")
  assert {name: step["result"] for name, step in summary.items()} == {
    "smoke": "failed",
    "operations": "over its limit",
    "steps": "done",
    "bits": "done",
    "training": "done",
  }
  assert summary["smoke"]["status"] == 3
  assert "no card" in summary["smoke"]["log"]
  assert 6 <= summary["operations"]["seconds"] < 30
  assert summary["operations"]["limit_s"] == 6
  # Training has what the others left.
  assert 20 < summary["training"]["limit_s"] < 50


def test_fields_and_variant_reach_training(tmp_path, pretender):
  done = _run_script(
    *(f"--output={tmp_path / 'out'}", f"--work={tmp_path / 'work'}"),
    *("--steps=training", "--variant=tiny", "--config.dtype=bfloat16"),
    python=pretender,
  )
  assert done.returncode == 0, done.stdout
  log = (tmp_path / "work" / "training.log").read_text()
  assert "--variant=tiny" in log
  assert "--config.dtype=bfloat16" in log


@pytest.mark.parametrize("argument", ["--steps=smoke,nothing", "--colour=red"])
def test_mistakes_are_told(argument):
  done = _run_script(argument)
  assert done.returncode == 2
  assert argument.split(",")[-1] in done.stderr


@pytest.mark.slow
def test_operations_and_steps_on_a_cpu(tmp_path):
  output = tmp_path / "out"
  done = _run_script(
    *(f"--output={output}", f"--work={tmp_path / 'work'}"),
    *("--small", "--steps=operations,steps", "--minutes=20"),
  )
  assert done.returncode == 0, done.stdout
  operations = _read(output, "operations")
  assert operations["machine"]["platform"] == "cpu"
  (name, attention), *_ = operations["attention"].items()
  assert "bfloat16" in name
  times = attention["milliseconds"]
  assert times["xla"]["forward"] > 0
  assert times["cudnn"]["backward"].startswith("refused")
  assert attention["fastest"] == {"forward": "xla", "backward": "xla"}
  for kind in ("conv", "transposed conv"):
    for measured in operations[kind].values():
      assert set(measured["milliseconds"]) >= {"xla", "frames"}
  steps = _read(output, "steps")
  for kind in ("transformer", "decoding"):
    (measured,) = steps[kind].values()
    assert measured["clips_per_second"] > 0
    assert measured["GFLOP"] > 0
    assert 0 < measured["share_of_peak"] < 1
  assert steps["torch"]["transformer"]


def _run_program(step, output, *arguments):
  environment = shrunk.make_environment()
  flags = environment.get("XLA_FLAGS", "")
  # Also in .ci/nightly, which optimises: the programs are large.
  environment["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0"
  done = subprocess.run(
    [
      *(sys.executable, "-m", f"benchmarks.gpu.{step}", "--small"),
      *(f"--output={output}", *arguments),
    ],
    cwd=shrunk.ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
  return _read(output, step)


@pytest.mark.slow
def test_smoke(tmp_path):
  results = _run_program("smoke", tmp_path)
  assert set(results["golden"]) == {"discriminator_base", "transformer_base"}
  assert results["tokenizer"]["bfloat16"]["g_loss"] > 0
  assert results["sharding"]["mesh of one device"]


@pytest.mark.slow
def test_smoke_without_golden_cases(tmp_path):
  missing = tmp_path / "nowhere"
  results = _run_program("smoke", tmp_path, f"--golden={missing}")
  assert "nowhere" in results["golden"]["missing"]
  assert results["decoding"]["bfloat16"]


@pytest.mark.slow
def test_runs_on_a_cpu_have_the_same_bits(tmp_path):
  results = _run_program("bits", tmp_path, f"--work={tmp_path / 'work'}")
  for life in ("again", "resumed"):
    compared = results["default"][f"unbroken and {life}"]
    assert compared["same"], compared
    assert compared["leaves"] > 50


@pytest.mark.slow
def test_training_by_the_clock(tmp_path):
  results = _run_program(
    "training", tmp_path, f"--work={tmp_path / 'work'}", "--seconds=400"
  )
  assert results["plan"]["steps"]["tokenizer_steps"] >= 2
  assert results["run"]["scores"]["tables"]
  assert results["run"]["curves"]["transformer/train/loss"]
  assert results["files"]["packed"]["networks_missing"] is None
  assert os.path.getsize(tmp_path / "run.tar.00") > 10_000
