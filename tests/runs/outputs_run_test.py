"""Outputs of a finished run that are lost or spoilt are made again."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
import shrunk
import small_data_sets

from data_gen.files import failpoints
from magvit3d.experiment import Experiment

_FIELDS = {"stages": "data,tokenizer,transformer", "data__num_colors": 2}


@pytest.fixture
def workdir(trained_run, tmp_path):
  """A copy that a test may spoil."""
  return shutil.copytree(trained_run, tmp_path / "run")


def test_lost_tokens_are_made_again_and_nothing_else(workdir, caplog):
  tokens = workdir / "transformer" / "tokens"
  wanted = small_data_sets.hash_files(tokens)
  shutil.rmtree(tokens)
  before = shrunk.read_times(workdir / "tokenizer")
  (workdir / "stages.json.damaged").write_text("of earlier")
  Experiment(shrunk.make_config(**_FIELDS), workdir).run()
  assert small_data_sets.hash_files(tokens) == wanted
  assert shrunk.read_times(workdir / "tokenizer") == before
  place = "transformer/tokens/manifest.json"
  assert f"Stage transformer: {place} is missing, and is made" in caplog.text


def _run(workdir, failpoint="", **fields):
  environment = shrunk.make_environment() | {failpoints.VARIABLE: failpoint}
  return subprocess.run(
    [
      *(sys.executable, "-m", "magvit3d.main", f"--workdir={workdir}"),
      *shrunk.make_arguments(
        **fields, data__num_colors=2, evaluation__num_probe_scenes=0
      ),
    ],
    cwd=shrunk.ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )


def _numbers_of_clips(workdir):
  folder = workdir / "evaluation"
  scores = json.loads((folder / "scores.json").read_text())
  paths = json.loads((folder / "paths_reconstruction.json").read_text())
  return scores["tables"][0]["n"], paths["n"]


@pytest.mark.slow
def test_files_of_two_evaluations_never_mix(workdir):
  """A run is killed while those of another config take their place."""
  assert _run(workdir).returncode == 0
  wanted = _numbers_of_clips(workdir)
  for name in ("paths_reconstruction.json", "clips.npz", "scores.json"):
    # The first time it is written aside.
    done = _run(workdir, f"replace {name}=kill@2", evaluation__num_clips=3)
    assert done.returncode == -signal.SIGKILL
    done = _run(workdir)
    assert done.returncode == 0, done.stderr
    assert _numbers_of_clips(workdir) == wanted
    assert not [p for p in workdir.rglob("*") if p.name.endswith(".tmp")]


@pytest.mark.slow
def test_a_spoilt_report_and_lost_clips_are_made_again(workdir):
  assert _run(workdir).returncode == 0
  page = workdir / "report" / "index.html"
  clips = workdir / "evaluation" / "clips.npz"
  page.write_text("")
  done = _run(workdir)
  assert "Stage evaluate is complete" in done.stderr
  assert page.read_text().endswith("</html>\n")
  clips.unlink()
  done = _run(workdir)
  assert "evaluation/clips.npz is missing, and is made again" in done.stderr
  assert clips.exists() and "All is done" in _run(workdir).stderr
