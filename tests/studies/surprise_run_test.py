"""Runs of `configs/surprise.py` on a small model and a few pairs."""

import dataclasses
import json
import re

import numpy as np
import pytest
import shrunk
import small_studies

from data_gen.generate import generate
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.violations import KINDS
from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.evaluation.surprise import PairScores
from magvit3d.experiment import Experiment
from magvit3d.studies.surprise import asked_pairs, pair_scores


@pytest.fixture(
  scope="module",
  params=["trained_run", pytest.param("scenes_run", marks=pytest.mark.slow)],
)
def run(request, tmp_path_factory):
  """Work folder of a run, and its config."""
  pretrained = str(request.getfixturevalue(request.param))
  config = small_studies.make_surprise(pretrained=pretrained)
  workdir = tmp_path_factory.mktemp("surprise") / "run"
  Experiment(config, workdir).run()
  return workdir, config


def test_scores_and_pairs_are_in_the_report(run):
  workdir, _ = run
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  shares, places = scores["tables"]
  assert shares["n"] == 14 and places["n"] == 12
  assert len(scores["checks"]) == 2
  assert scores["run"]["parameters"].keys() == {"tokenizer", "transformer"}
  page = (workdir / "report" / "index.html").read_text()
  for kind in KINDS:
    assert re.search(rf">{kind}<", page)
  assert "Which half of a pair is impossible" in page
  assert "Training</h2>" not in page  # Nothing is trained.
  stages = json.loads((workdir / "stages.json").read_text())
  assert list(stages) == ["data", "evaluate", "report"]


def test_a_second_start_changes_nothing(run):
  workdir, config = run
  experiment = Experiment(config, workdir)
  assert shrunk.changed_by(experiment.run, workdir) <= {"config.json"}


def test_a_run_that_was_cut_off_asks_of_the_other_pairs_alone(
  run, tmp_path, monkeypatch
):
  workdir, config = run
  ask, asked = pair_scores._ask, []

  def ask_twice(magvit, pairs, *rest):
    if len(asked) == 2:
      raise RuntimeError("cut off")
    asked.append(len(pairs))
    return ask(magvit, pairs, *rest)

  monkeypatch.setattr(asked_pairs, "_WRITE_S", 0.0)
  monkeypatch.setattr(pair_scores, "_ask", ask_twice)
  with pytest.raises(RuntimeError, match="cut off"):
    Experiment(config, tmp_path / "run").run()
  assert asked == [7, 8]  # Of validation, and of 14 test pairs.
  asked.clear()
  Experiment(config, tmp_path / "run").run()
  assert asked == [6]
  found, expected = (
    json.loads((folder / "evaluation" / "scores.json").read_text())
    for folder in (tmp_path / "run", workdir)
  )
  assert found["tables"] == expected["tables"]
  assert not (tmp_path / "run" / "asked_pairs").exists()


def test_answers_of_other_networks_are_asked_anew(tmp_path):
  path = tmp_path / "asked_pairs" / "test.npz"
  scores = PairScores(
    np.arange(2), np.arange(2), np.ones((2, 2, 4)), {"other": np.ones((2, 2))}
  )
  asked_pairs.AskedPairs(path, "these").add(scores, is_last=True)
  assert len(asked_pairs.AskedPairs(path, "these")) == 2
  assert len(asked_pairs.AskedPairs(path, "others")) == 0
  path.write_bytes(path.read_bytes()[:-40])
  assert len(asked_pairs.AskedPairs(path, "these")) == 0


@pytest.mark.slow
def test_another_question_is_scored_anew(run):
  workdir, config = run
  path = workdir / "evaluation" / "scores.json"
  before = json.loads(path.read_text())
  changed = config | {"surprise": config["surprise"] | {"past_alone": True}}
  Experiment(changed, workdir).run()
  after = json.loads(path.read_text())
  assert after["key"] != before["key"]


@pytest.mark.variants
@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"surprise__num_draws": 0}, r"surprise\.num_draws=0 must be 1 or more"),
    ({"data__num_clutter": 1}, r"config\.data\.num_clutter=1"),
    ({"data__num_test": 3}, "has 3 pairs, too few for the 7 kinds"),
    ({"data__image_size": 32}, "8 frames of 32 px .* reads 8 of 24 px"),
    ({"stages": "frames"}, "the stages are data,evaluate,report"),
  ],
)
def test_what_does_not_fit_is_told(fields, named, trained_run, tmp_path):
  config = small_studies.make_surprise(pretrained=str(trained_run), **fields)
  with pytest.raises(UserError, match=named):
    Experiment(config, tmp_path / "run").run()


def test_scenes_that_are_no_pairs_are_told(trained_run, tmp_path):
  options = DatasetOptions(
    output_dir=str(tmp_path / "data"),
    **small_studies.PAIRS | {"num_train": 1},
  )
  generate(options, log=lambda line: None)
  config = small_studies.make_surprise(
    pretrained=str(trained_run), data__data_dir=options.output_dir
  )
  with pytest.raises(UserError, match="holds no pairs: make some with"):
    Experiment(config, tmp_path / "run").run()


def test_a_tokenizer_alone_has_no_surprise(trained_run, tmp_path):
  trained = Magvit.from_run(trained_run).trained
  alone = dataclasses.replace(trained, transformer_params=None)
  Magvit(alone).save_pretrained(tmp_path / "tokenizer")
  config = small_studies.make_surprise(pretrained=str(tmp_path / "tokenizer"))
  with pytest.raises(UserError, match="has no transformer"):
    Experiment(config, tmp_path / "run").run()
  assert not (tmp_path / "run" / "data").exists()  # Nothing was rendered.
