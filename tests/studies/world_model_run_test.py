"""A whole run of `configs/world_model.py`, small."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shrunk
import small_studies

from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.config.run import RunConfig
from magvit3d.data.clips import load_clips
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.parallel import sharding
from magvit3d.run.digit_data import DigitData
from magvit3d.run.stages import Run
from magvit3d.studies.world_model import (
  world_model_stages,
  world_model_training,
)
from magvit3d.studies.world_model.world_model_training import WorldModelTraining
from magvit3d.tokens import noise, vocabulary
from magvit3d.tokens.action_model import ActionModel, Rollout
from magvit3d.tokens.vocabulary import MASK


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Work folder of a run; nobody writes into it but runs that are complete."""
  workdir = tmp_path_factory.mktemp("studies") / "world_model"
  Experiment(small_studies.make_world_model(), workdir).run()
  return workdir


def _scores(run):
  return json.loads((run / "evaluation" / "scores.json").read_text())


def test_stages_are_done_and_the_report_is_whole(run):
  stages = json.loads((run / "stages.json").read_text())
  assert list(stages) == [
    "data", "world_model", "convlstm", "evaluate", "report",
  ]  # fmt: skip
  assert {entry["status"] for entry in stages.values()} == {"done"}
  page = (run / "report" / "index.html").read_text()
  for words in (
    "Frames behind the first 2",
    "world model, actions of other clips",
    "copy of the last frame",
    "What actions tell",
    "What they take",
    "SSIM by frame",
    "other actions",
    "The model sees the first 2 of 5 frames",
  ):
    assert words in page


def test_scores_are_of_a_type_of_numbers(tmp_path):
  def key(dtype):
    config = RunConfig.from_dict(small_studies.make_world_model(dtype=dtype))
    data = DigitData(config, tmp_path)
    run = Run(config, tmp_path, sharding.make_mesh(), data, ())
    return world_model_stages.makers(run)["evaluate"](run)._key({})

  assert key("float32") != key("bfloat16")


def test_each_row_has_its_scores_and_each_target_its_check(run):
  scores = _scores(run)
  table, actions, costs = scores["tables"]
  rows = {row["name"]: row["cells"] for row in table["rows"]}
  assert len(rows) == 9 and table["n"] == 6
  for name, (error, summed, similarity, _) in rows.items():
    assert 0 <= error["value"] <= 1, name
    # Rounded means of float64.
    np.testing.assert_allclose(
      summed["value"], error["value"] * 4096, rtol=1e-9
    )
    assert -1 <= similarity["value"] <= 1
  assert len(actions["rows"]) == 4 and len(costs["rows"]) == 2
  assert len(scores["checks"]) == 5
  plot = scores["plots"][0]["series"][0]
  assert plot["x"] == [3, 4, 5] and len(plot["y"]) == 3


def test_noise_of_training_is_logged(run):
  lines = (run / "world_model" / "metrics.jsonl").read_text().splitlines()
  entries = [json.loads(line) for line in lines]
  last = next(e for e in reversed(entries) if "train/loss" in e)
  shares = [last[f"train/share_{name}"] for name in noise.OBJECTIVES]
  assert sum(shares) == pytest.approx(1)
  assert 0 < last["train/hidden_share"] <= 1
  assert "validation/mse" in {key for entry in entries for key in entry}


def test_a_second_start_changes_nothing(run):
  experiment = Experiment(small_studies.make_world_model(), run)
  assert shrunk.changed_by(experiment.run, run) <= {"config.json"}


def test_one_mask_id_goes_from_training_to_checkpoint(run, monkeypatch):
  record = checkpoint_record.read(
    checkpoint_record.newest(run / "world_model" / "checkpoints")
  )
  assert record["identity"]["tokens"] == {"mask": MASK}
  assert MASK == vocabulary.MASK == -1
  # A program with another one does not take the checkpoint for its own.
  monkeypatch.setattr(world_model_training, "MASK", MASK - 1)
  with pytest.raises(UserError, match=r"tokens\.mask"):
    Experiment(small_studies.make_world_model(), run).run()


@pytest.mark.slow
def test_training_and_evaluation_hide_tokens_by_the_same_id(run, monkeypatch):
  config = RunConfig.from_dict(small_studies.make_world_model())
  data = DigitData(config, run)
  study = Run(
    config=config, workdir=run, mesh=sharding.make_mesh(), data=data, stages=()
  )
  stage, seen = WorldModelTraining(study), {}
  logits = ActionModel.logits

  def spy(self, params, tokens, *arguments):
    seen["training"] = tokens
    return logits(self, params, tokens, *arguments)

  def generate(self, params, rngs, tokens, actions, given_frames):
    seen["evaluation"] = tokens
    return Rollout(tokens, None)

  monkeypatch.setattr(ActionModel, "logits", spy)
  monkeypatch.setattr(ActionModel, "generate", generate)
  clips = load_clips(data.clips("train"), range(4), ("frames", "actions"))
  batch = {name: jnp.asarray(array) for name, array in clips.items()}
  params = stage.params()
  stage.loss(params, batch, (), jax.random.key(0))
  batch |= {"is_told": jnp.ones((4, 5), bool), "number": jnp.arange(4)}
  stage._rollouts._decode_batch(params, batch, 2, 0)
  for tokens in seen.values():
    assert set(np.unique(tokens)) - set(range(4)) == {MASK}
  assert (seen["evaluation"][:, 2:] == MASK).all()
  # It is the last row of each token's part of the table.
  table = params["BertEmbed_0"]["word_embeddings"]["embedding"]
  assert len(table) == 4**2 * (4 + 1)


def test_the_sampler_may_change_and_the_network_may_not(run):
  fine = small_studies.make_world_model(world_model__steps_per_frame=3)
  Experiment(fine | {"stages": "world_model"}, run).run()
  for field, value in (("world_model__hidden_size", 16), ("digits__seed", 1)):
    config = small_studies.make_world_model(**{field: value})
    with pytest.raises(UserError, match=field.split("__")[1]):
      Experiment(config, run).run()


def test_average_is_what_is_scored(run):
  record = checkpoint_record.read(
    checkpoint_record.newest(run / "world_model" / "checkpoints")
  )
  averages = [path for path in record["leaves"] if "/average/" in path]
  params = [p for p in record["leaves"] if p.startswith("params/")]
  assert len(averages) == len(params) > 0


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"world_model__patch": 5}, r"patch=5 must divide config\.digits"),
    ({"world_model__given_frames": 5}, "leaves nothing to predict"),
    ({"world_model__num_heads": 3}, "num_heads=3 must divide"),
    ({"world_model__joint_share": 0.6}, "1 together, or less"),
    ({"world_model__motion__num_kernels": 3}, "num_kernels=3 must divide"),
    ({"world_model__motion__radius": -1}, r"motion\.radius=-1 must be 0"),
    ({"world_model__num_levels": 300}, "256 levels at most"),
    ({"world_model__steps_per_frame": 145}, "more than the 144 tokens"),
    ({"world_model__mask_schedule": "poly:a"}, "mask_schedule='poly:a' is non"),
    ({"digits__seed": -1}, r"config\.digits\.seed=-1 must be 0 or more"),
    ({"world_model__max_noise": 1.5}, r"max_noise=1\.5 must be in \[0, 1\]"),
    ({"digits__max_speed": 4}, "use 3 or less"),
    ({"digits__num_test": 0}, r"config\.digits\.num_test=0"),
    ({"world_model__split": "tests"}, "split='tests'"),
  ],
)
def test_wrong_fields_are_named(fields, named):
  with pytest.raises(UserError, match=named):
    RunConfig.from_dict(small_studies.make_world_model(**fields))


def test_a_section_that_is_missing_is_named():
  config = small_studies.make_world_model()
  for name in ("digits", "train_world_model"):
    rest = {key: value for key, value in config.items() if key != name}
    with pytest.raises(UserError, match=rf"config\.{name} is missing"):
      RunConfig.from_dict(rest)


def test_clips_of_the_benchmark_are_scored_without_actions(run, tmp_path):
  clips = np.random.default_rng(0).integers(
    256, size=(5, 7, 12, 12), dtype=np.uint8
  )
  np.save(tmp_path / "clips.npy", clips)
  config = small_studies.make_world_model(
    digits__test_file=str(tmp_path / "clips.npy")
  )
  workdir = tmp_path / "run"
  shutil.copytree(run, workdir)
  Experiment(config, workdir).run()
  table = _scores(workdir)["tables"][0]
  assert table["n"] == 6  # num_test of seven.
  assert [row["name"] for row in table["rows"]] == [
    "world model, mean of 2 samples, actions not told",
    "world model, actions not told",
    "ConvLSTM, actions not told",
    "copy of the last frame",
    "black",
  ]
  np.save(tmp_path / "clips.npy", clips[:4])
  with pytest.raises(UserError, match="clips of 4 frames"):
    Experiment(config, tmp_path / "other").run()
