"""A whole run: all stages, stopped half-way, resumed, and run again."""

import functools
import json
import shutil

import chex
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import shrunk

from magvit3d.config.run import STAGES
from magvit3d.experiment import Experiment
from magvit3d.run import network_checks
from magvit3d.training.loop import Interrupted

_make_config = functools.partial(shrunk.make_config, **shrunk.DISCRIMINATOR)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
  """Work folder of a run that nothing interrupted."""
  workdir = tmp_path_factory.mktemp("unbroken")
  Experiment(_make_config(), workdir).run()
  return workdir


@pytest.fixture(scope="module")
def resumed(unbroken, tmp_path_factory):
  """Work folder of a run that was stopped in both training stages."""
  workdir = tmp_path_factory.mktemp("resumed")
  shutil.copytree(unbroken / "data", workdir / "data")
  for stage in ("tokenizer", "transformer"):
    with pytest.raises(Interrupted, match=f"{stage} stopped at step 3"):
      Experiment(_make_config(), workdir, stop_after=(stage, 3)).run()
    status = json.loads((workdir / "status.json").read_text())
    assert (status["stage"], status["state"]) == (stage, "INTERRUPTED")
  Experiment(_make_config(), workdir).run()
  return workdir


@pytest.mark.smoke
def test_every_stage_of_a_run_is_done_and_timed(unbroken):
  stages = json.loads((unbroken / "stages.json").read_text())
  assert list(stages) == list(STAGES)
  assert {stage["status"] for stage in stages.values()} == {"done"}
  assert all(stage["seconds"] > 0 for stage in stages.values())


@pytest.mark.smoke
def test_report_is_one_page_that_needs_no_network(unbroken):
  page = (unbroken / "report" / "index.html").read_text()
  assert 'src="http' not in page and 'href="http' not in page
  for title in ("Reconstruction", "Hidden tokens", "Predicted clips"):
    assert title in page


@pytest.mark.parametrize("stage", ["tokenizer", "transformer"])
def test_resumed_run_ends_with_the_same_bits(unbroken, resumed, stage):
  wanted, found = (
    _read_state(workdir / stage) for workdir in (unbroken, resumed)
  )
  assert jax.tree.structure(wanted) == jax.tree.structure(found)
  chex.assert_trees_all_equal(wanted, found)


@pytest.mark.parametrize("stage", ["tokenizer", "transformer"])
def test_metrics_hold_every_step_once(unbroken, resumed, stage):
  for workdir in (unbroken, resumed):
    lines = (workdir / stage / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == list(range(1, shrunk.NUM_STEPS + 1))


def test_resumed_run_has_the_same_scores(unbroken, resumed):
  wanted, found = (
    json.loads((workdir / "evaluation" / "scores.json").read_text())
    for workdir in (unbroken, resumed)
  )
  assert found["tables"] == wanted["tables"]
  assert found["checks"] == wanted["checks"]


def test_command_finds_a_finished_run_done_and_changes_nothing(resumed):
  before = shrunk.read_times(resumed)
  found = shrunk.run_main(
    *shrunk.make_arguments(**shrunk.DISCRIMINATOR), f"--workdir={resumed}"
  )
  assert found.returncode == 0, found.stderr
  assert "All is done" in found.stderr
  assert "checks do not hold: Predicted ADE" in found.stderr
  assert f"Report: {resumed / 'report' / 'index.html'}" in found.stdout
  after = shrunk.read_times(resumed)
  changed = {path for path in before | after if before.get(path) != after[path]}
  assert changed == {resumed / "config.json"}


def test_a_config_that_a_run_was_started_with_is_not_traced_again(
  unbroken, tmp_path, monkeypatch
):
  traced = []
  monkeypatch.setattr(
    network_checks, "trace_steps", lambda *_: traced.append(True)
  )
  Experiment(_make_config(), unbroken)
  assert traced == []
  Experiment(_make_config(train_tokenizer__g_lr=1e-5), unbroken)
  Experiment(_make_config(), tmp_path)
  (tmp_path / "config.json").write_text("{")
  Experiment(_make_config(), tmp_path)
  assert len(traced) == 3


@pytest.mark.slow
def test_stage_that_is_done_again_makes_the_report_anew(resumed, capsys):
  """Even where the run is stopped between the two."""
  fields = {"evaluation__num_clips": 4}
  stages = {"stages": "evaluate"}
  report = resumed / "report" / "index.html"
  before = report.stat().st_mtime_ns
  Experiment(_make_config(**fields, **stages), resumed).run()
  assert report.stat().st_mtime_ns == before
  Experiment(_make_config(**fields), resumed).run()
  assert report.stat().st_mtime_ns > before
  printed = capsys.readouterr().out
  for stage in ("evaluate", "report"):
    assert f"{stage} 0/100 0.0%" in printed and f"{stage} DONE" in printed
  status = json.loads((resumed / "status.json").read_text())
  assert (status["stage"], status["state"], status["step"]) == (
    "report", "DONE", 100,
  )  # fmt: skip
  scores = json.loads((resumed / "evaluation" / "scores.json").read_text())
  assert status["reason"] == scores["warning"]


def _read_state(folder):
  """All that the newest checkpoint of a stage holds."""
  checkpoints = folder / "checkpoints" / str(shrunk.NUM_STEPS)
  with ocp.StandardCheckpointer() as reader:
    return jax.tree.map(np.asarray, reader.restore(checkpoints / "state"))
