"""Who stays is learnt from true labels, and from shuffled ones it is not."""

import json

import pytest
import small_studies

from magvit3d.experiment import Experiment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Scenes for both runs."""
  workdir = tmp_path_factory.mktemp("learn") / "data"
  Experiment(_config() | {"stages": "data"}, workdir).run()
  return workdir / "data"


def _config(**fields):
  return small_studies.make_persistence(
    data__num_train=160,
    data__num_test=100,
    data__num_workers=0,
    persistence__width=32,
    persistence__num_layers=2,
    train_persistence__optimizer__name="muon",
    train_persistence__batch_size=16,
    train_persistence__num_steps=200,
    train_persistence__validate_every_steps=200,
    **fields,
  )


def _accuracy(data, workdir, is_shuffled):
  config = _config(
    data__data_dir=str(data), persistence__shuffled_labels=is_shuffled
  )
  Experiment(config, workdir).run()
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  return scores["tables"][0]["rows"][0]["cells"][1]["value"]


def test_shuffled_labels_teach_nothing(data, tmp_path):
  """Half of the objects stay, so chance is .5.

  Of 100 scenes with four objects each, a standard deviation is .025, twice that
  if a network answers much the same within a scene; .15 are three of these.
  """
  assert _accuracy(data, tmp_path / "true", False) > 0.85
  assert abs(_accuracy(data, tmp_path / "shuffled", True) - 0.5) < 0.15
