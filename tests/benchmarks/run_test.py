"""Tests of `python -m benchmarks.run` and of the page that it feeds."""

import json
import subprocess
import sys

import pytest
import shrunk

from benchmarks import page
from benchmarks.cases import CASES, OURS, REFERENCE, TORCH


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "benchmarks.run", *map(str, arguments)],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
    timeout=600,
  )


@pytest.mark.slow
def test_a_case_is_timed_beside_the_reference(tmp_path):
  path = tmp_path / "speed.json"
  arguments = "--small", "--only=transformer_tiny", "--rounds=2"
  done = _run(
    *arguments, f"--output={path}", f"--torch_python={sys.executable}"
  )
  assert done.returncode == 0, done.stderr
  results = json.loads(path.read_text())
  case = results["cases"]["transformer_tiny"]
  found = case["formulations"]
  assert {OURS, REFERENCE} <= set(found)
  seconds = {name: f["seconds"] for name, f in found.items()}
  assert case["over_reference"] == seconds[REFERENCE] / seconds[OURS]
  assert len(found[OURS]["all_seconds"]) == 2
  # The head's few sums apart, both do the same work.
  assert found[OURS]["flops"] == pytest.approx(found[REFERENCE]["flops"], 0.02)
  assert 0 < case["share_of_peak"] < 1
  assert CASES["transformer_tiny"].title in done.stdout


def test_an_unknown_case_is_named():
  done = _run("--only=transformer")
  assert done.returncode == 2
  assert "--only=transformer is no case" in done.stderr
  assert "transformer_1025" in done.stderr


def _formulation(seconds, **known):
  return {
    "seconds": seconds,
    "items_per_second": 1 / seconds,
    "page_faults": 0,
    "compile_s": 1.0,
    **known,
  }


@pytest.mark.parametrize(
  "name, seconds, missed",
  [
    ("transformer_1025", {REFERENCE: 1.8, TORCH: 1.0}, []),
    (
      "transformer_1025",
      {REFERENCE: 1.6, TORCH: 1.0},
      ["1.60 x the reference"],
    ),
    ("transformer_1025", {REFERENCE: 1.8, TORCH: 0.8}, ["0.80 x PyTorch"]),
    ("transformer_1025", {}, []),
    ("rendering", {}, ["1 frames/s, wanted 6000"]),
  ],
)
def test_targets_that_are_missed_are_said(name, seconds, missed):
  others = {k: _formulation(v, compile_s=2.0) for k, v in seconds.items()}
  result = page.compared(CASES[name], {OURS: _formulation(1.0), **others})
  assert len(result["missed"]) == len(missed)
  for sentence, start in zip(result["missed"], missed, strict=True):
    assert sentence.startswith(start)


def test_page_faults_and_slow_compilation_are_said():
  slow = _formulation(1.0, page_faults=50_000, compile_s=5.0)
  others = {REFERENCE: _formulation(9.0, compile_s=9.0)}
  result = page.compared(CASES["tokenizer_p"], {OURS: slow, **others})
  assert [text.split()[0] for text in result["missed"]] == ["50000", "compiled"]


def test_the_page_is_that_of_the_history():
  assert page.PAGE.read_text() == page.make_page()
