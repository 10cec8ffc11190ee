"""An extractor learns from true motions, and from shuffled ones nothing."""

import json

import pytest
import small_studies

from magvit3d.experiment import Experiment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Scenes for both runs."""
  workdir = tmp_path_factory.mktemp("learn") / "data"
  config = _config() | {"stages": "data"}
  Experiment(config, workdir).run()
  return workdir / "data"


def _config(**fields):
  return small_studies.make_extractors(
    data__num_train=480,
    data__num_test=240,
    data__num_workers=0,
    extractors__names="magvit",
    extractors__features__magvit=96,
    extractors__width=32,
    extractors__num_heads=4,
    extractors__hidden_size=128,
    extractors__eval_batch_size=48,
    train_extractors__optimizer__name="muon",
    train_extractors__batch_size=16,
    train_extractors__num_steps=150,
    train_extractors__validate_every_steps=150,
    **fields,
  )


def _accuracy(data, workdir, is_shuffled):
  config = _config(
    data__data_dir=str(data), extractors__shuffled_labels=is_shuffled
  )
  Experiment(config, workdir).run()
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  return scores["tables"][0]["rows"][0]["cells"][0]["value"]


def test_shuffled_motions_teach_nothing(data, tmp_path):
  """A network that knows nothing may answer one motion much as another.

  So its share of right answers is less sure than that of 240 guesses, whose
  standard deviation is .03; .15 are five of these, and a fifth of what true
  motions teach.
  """
  assert _accuracy(data, tmp_path / "true", False) > 0.8
  assert abs(_accuracy(data, tmp_path / "shuffled", True) - 0.25) < 0.15
