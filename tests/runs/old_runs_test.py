"""Work folders and shared networks of commit 5cb405a load and go on.

`fixtures/old_runs/runs.tar.xz` was made by that commit: a run of both networks
as 5cb405a finished it, two where it was stopped after 3 of 6 steps of a stage,
and what `save_pretrained` wrote, with answers of `Magvit`.
"""

import json
import shutil
import tarfile

import numpy as np
import orbax.checkpoint as ocp
import pytest
import shrunk

from configs import traj3d
from magvit3d.api import Magvit
from magvit3d.checkpoints.checksums import leaves_by_path
from magvit3d.experiment import Experiment
from magvit3d.report import run_report

_STEP, _LAST_STEP = "3", "6"
# Of the distance that a state goes in three steps: convolutions of today add up
# in another order, and Adam divides by what may be small. Measured: 1.3e-4 and
# 1.3e-6. A step more or less is about a third.
_MAX_DIFFERENCE = 2e-3


@pytest.fixture(scope="module")
def old(tmp_path_factory):
  folder = tmp_path_factory.mktemp("old_runs")
  path = shrunk.ROOT / "tests" / "fixtures" / "old_runs" / "runs.tar.xz"
  with tarfile.open(path) as file:
    file.extractall(folder, filter="data")
  return folder


def _config(run, **fields):
  """The config of an old run, as its flags would give it today."""
  config = traj3d.get_config("B")
  known = json.loads((run / "config.json").read_text())
  with config.unlocked():
    config.update(_tuples(known) | fields)
  return config.to_dict()


def _tuples(value):
  if isinstance(value, dict):
    return {key: _tuples(entry) for key, entry in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _state(run, stage, step):
  with ocp.StandardCheckpointer() as reader:
    state = reader.restore(run / stage / "checkpoints" / step / "state")
  leaves = leaves_by_path(state)
  return {path: np.asarray(leaf) for path, leaf in leaves.items()}


def _distance(a, b):
  floats = [path for path in a if a[path].dtype.kind == "f"]
  return np.sqrt(sum(float(np.sum((a[p] - b[p]) ** 2)) for p in floats))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", "transformer"])
def test_a_stopped_run_ends_where_it_would_have_ended(old, tmp_path, stage):
  start = old / f"half_{stage}"
  run = shutil.copytree(start, tmp_path / "run")
  Experiment(_config(run, stages=stage), run).run()
  wanted = _state(old / "finished", stage, _LAST_STEP)
  found = _state(run, stage, _LAST_STEP)
  assert found.keys() == wanted.keys()
  way = _distance(wanted, _state(start, stage, _STEP))
  assert _distance(wanted, found) < _MAX_DIFFERENCE * way
  for path, leaf in wanted.items():
    if leaf.dtype.kind != "f":
      np.testing.assert_array_equal(found[path], leaf, err_msg=path)


def test_a_finished_run_is_known_as_finished(old):
  run = old / "finished"
  before = shrunk.read_times(run / "transformer")
  config = _config(run, stages="data,tokenizer,transformer")
  Experiment(config, run).run()
  assert shrunk.read_times(run / "transformer") == before


def test_the_report_reads_old_scores(old):
  page = run_report.write_report(old / "finished").read_text()
  assert "Reconstruction" in page and "Predicted paths" in page


@pytest.mark.parametrize("name", ["pretrained", "finished"])
def test_networks_answer_as_they_did(old, name):
  if name == "pretrained":
    magvit = Magvit.from_pretrained(old / name)
  else:
    magvit = Magvit.from_run(old / name)
  with np.load(old / "answers.npz") as answers:
    tokens = magvit.tokenize(answers["clip"])
    np.testing.assert_array_equal(tokens, answers["tokens"])
    # Rounding may fall to either side.
    difference = magvit.reconstruct(answers["clip"]).astype(int)
    difference -= answers["reconstruction"]
    assert np.abs(difference).max() <= 1
