"""A whole run of `configs/persistence.py`, small."""

import json

import jax
import numpy as np
import pytest
import shrunk
import small_studies

from data_gen import schema
from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource, read_manifest
from data_gen.scenes.options import DatasetOptions
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.models.persistence import PersistenceNetwork
from magvit3d.parallel import sharding
from magvit3d.studies.frozen_tokenizer import FrozenTokenizer
from magvit3d.studies.persistence import seen_objects

_NUM_FRAMES, _NUM_OBJECTS = 8, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Work folder of a run; nobody writes into it but runs that are complete."""
  workdir = tmp_path_factory.mktemp("studies") / "persistence"
  Experiment(small_studies.make_persistence(), workdir).run()
  return workdir


@pytest.fixture(scope="module")
def tokenizer():
  """The frozen tokenizer of the run."""
  config = RunConfig.from_dict(small_studies.make_persistence())
  return FrozenTokenizer(config, sharding.make_mesh())


def _tables(run):
  scores = json.loads((run / "evaluation" / "scores.json").read_text())
  return {table["title"]: table for table in scores["tables"]}


def test_stages_are_done_and_the_report_is_whole(run):
  stages = json.loads((run / "stages.json").read_text())
  assert list(stages) == ["data", "persistence", "evaluate", "report"]
  assert {entry["status"] for entry in stages.values()} == {"done"}
  page = (run / "report" / "index.html").read_text()
  for words in (
    "Which objects stay, after the last frame",
    "Right decisions after frame k",
    "best by the law of lifetimes",
    "Decisions before the end",
    "Attention to what stays over what passes",
    "Right decisions by frame",
  ):
    assert words in page


def test_numbers_stand_beside_baselines_and_the_best(run):
  tables = _tables(run)
  curve = tables["Right decisions after frame k"]
  assert [c["name"] for c in curve["columns"]] == ["1", "2", "3", "4", "8"]
  assert [row["role"] for row in curve["rows"]] == [
    "model", "baseline", "baseline", "floor",
  ]  # fmt: skip
  # Two of four stay; of those that pass few are there from the start.
  assert curve["rows"][-1]["cells"][-1] == 1
  early = tables["Decisions before the end"]["rows"]
  assert len(early) == 4
  costs = tables["What it takes"]["rows"]
  assert all(row["cells"][2] > 0 and row["cells"][3] > 0 for row in costs)
  scores = json.loads((run / "evaluation" / "scores.json").read_text())
  assert len(scores["checks"]) == 2
  assert len(scores["plots"][0]["series"][0]["x"]) == _NUM_FRAMES


def test_scenes_are_fair_crowds(run):
  assert read_manifest(run / "data")["arguments"]["fair_crowds"] is True


def test_a_second_start_changes_nothing(run):
  experiment = Experiment(small_studies.make_persistence(), run)
  assert shrunk.changed_by(experiment.run, run) <= {"config.json"}


def test_other_fields_of_a_trained_network_are_refused(run):
  config = small_studies.make_persistence(persistence__width=16)
  with pytest.raises(UserError, match="width"):
    Experiment(config, run).run()


def _answers(tokenizer, network, params, frames, masks):
  tokens = seen_objects.tokens_of_frames(
    frames, lambda still: tokenizer.encode(still, 8), stride=4
  )
  codes, places = seen_objects.pooled(
    tokens, masks, tokenizer.codebook, _NUM_OBJECTS
  )
  answer = jax.jit(network.apply)
  return np.asarray(answer({"params": params}, codes, places))


def test_from_pixels_on_later_frames_change_no_answer(run, tokenizer):
  scenes = SceneSource(run / "data", "test")
  keys = (schema.FRAMES, schema.MASKS)
  one, other = ([scenes.scene(i, keys)[k] for k in keys] for i in (0, 1))
  network = PersistenceNetwork(8, 1, 2, _NUM_FRAMES)
  codes = np.zeros((1, _NUM_OBJECTS, _NUM_FRAMES, tokenizer.codebook.shape[1]))
  params = jax.jit(network.init)(
    jax.random.key(0),
    jax.numpy.asarray(codes, np.float32),
    jax.numpy.zeros((1, _NUM_OBJECTS, _NUM_FRAMES, 4)),
  )["params"]
  before = _answers(tokenizer, network, params, *one)
  for k in (1, 3, 6):
    mixed = [
      np.concatenate([a[:, :k], b[:, k:]], axis=1)
      for a, b in zip(one, other, strict=True)
    ]
    after = _answers(tokenizer, network, params, *mixed)
    np.testing.assert_array_equal(after[..., :k], before[..., :k])
    assert (after[..., k:] != before[..., k:]).any()


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"data__num_transients": 0}, r"num_transients=0 makes no objects that"),
    ({"persistence__num_heads": 3}, "num_heads=3 must divide"),
    ({"data__image_size": 48}, "trained on frames of 32 px"),
    ({"pretrained": None}, r"config\.pretrained is missing"),
    ({"data__num_test": 0}, r"persistence\.split='test', but"),
    ({"stages": "tokenizer"}, "stages are data,persistence,evaluate,report"),
    ({"train_persistence": None}, r"config\.train_persistence is missing"),
  ],
)
def test_wrong_fields_are_named(fields, named, tmp_path):
  config = small_studies.make_persistence(
    **{k: v for k, v in fields.items() if v is not None}
  )
  config |= {k: v for k, v in fields.items() if v is None}
  with pytest.raises(UserError, match=named):
    Experiment(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("crowd", "named"),
  [
    ({}, "has one object a scene: make others"),
    ({"num_clutter": 1}, "has objects that stay alone: make others"),
  ],
)
def test_scenes_that_do_not_fit_are_told(crowd, named, tmp_path):
  options = DatasetOptions(
    output_dir=str(tmp_path / "data"),
    num_train=2, num_validation=1, num_test=1, image_size=32, num_frames=8,
    size_min=2.0, size_max=3.0, num_workers=1, preview=0,
    camera_rig="2,0,1", **crowd,
  )  # fmt: skip
  generate(options, log=lambda line: None)
  config = small_studies.make_persistence(data__data_dir=options.output_dir)
  with pytest.raises(UserError, match=named):
    Experiment(config, tmp_path / "run").run()
