"""A whole run of `configs/future_prediction.py`, small."""

import json
import shutil

import jax
import numpy as np
import pytest
import shrunk
import small_studies

from magvit3d.checkpoints import identity
from magvit3d.checkpoints.orbax import ocp
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.parallel import sharding
from magvit3d.run.data import RunData
from magvit3d.run.stages import Run
from magvit3d.studies.prediction import prediction_stages
from magvit3d.training.loop import Interrupted

NAMES = ("baseline", "masked")
# Come later, into a copy; the guided one compiles as long as all others.
_GUIDED = "slowfast"
_LATER = ("autoregressive", _GUIDED)
_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in _LATER]
_GIVEN = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Work folder of a run; nobody writes into it but runs that are complete."""
  workdir = tmp_path_factory.mktemp("studies") / "prediction"
  Experiment(small_studies.make_prediction(), workdir).run()
  return workdir


def _config_of_all():
  names = ",".join((*NAMES, *_LATER))
  return small_studies.make_prediction(prediction__names=names)


@pytest.fixture(scope="module")
def run_of(run, tmp_path_factory):
  """Returns the work folder with a predictor."""
  made = {}

  def find(name):
    if name in NAMES:
      return run
    if not made:
      folder = tmp_path_factory.mktemp("later") / "run"
      made["run"] = shutil.copytree(run, folder)
      Experiment(_config_of_all(), folder).run()
    return made["run"]

  return find


def _stages(run):
  """The stages of a run, by name."""
  config = RunConfig.from_dict(_config_of_all())
  mesh = sharding.make_mesh()
  shared = Run(config, run, mesh, RunData(config, run), config.chosen_stages)
  made = prediction_stages.makers(shared)
  return {name: make(shared) for name, make in made.items()}


def _scores(run):
  return json.loads((run / "evaluation" / "scores.json").read_text())


def _value(cell):
  return cell["value"] if isinstance(cell, dict) else cell


def test_stages_are_done_and_the_report_is_whole(run):
  stages = json.loads((run / "stages.json").read_text())
  assert list(stages) == ["data", *NAMES, "evaluate", "report"]
  assert {entry["status"] for entry in stages.values()} == {"done"}
  page = (run / "report" / "index.html").read_text()
  for words in (
    "Ways of predicting",
    "copy of the last given frame",
    "floor: true frames through the tokenizer",
    "Latents that are regressed",
    "Foreground PSNR by frame",
    "Predicted paths",
    "<h3>masked</h3>",
  ):
    assert words in page


def test_all_stand_in_one_table_beside_what_is_trivial(run):
  tables = {table["title"]: table for table in _scores(run)["tables"]}
  table = tables["Ways of predicting"]
  roles = {row["name"]: row["role"] for row in table["rows"]}
  others = ["baseline"] * 3 + ["floor"]
  assert list(roles.values()) == ["model"] * len(NAMES) + others
  columns = [column["name"] for column in table["columns"]]
  rows = {
    row["name"]: dict(zip(columns, map(_value, row["cells"]), strict=True))
    for row in table["rows"]
  }
  trivial = max(
    rows[name]["foreground PSNR"]
    for name in ("background only", "copy of the last given frame")
  )
  for name in NAMES:
    row = rows[name]
    gain = row["foreground PSNR"] - trivial
    assert row["above trivial"] == pytest.approx(gain, abs=1e-5)
    assert row["parameters"] > 1000 and row["clips a second"] > 0
    assert row["training"] is not None and row["ADE"] is not None
  assert rows["constant velocity"]["ADE"] > 0
  assert len(_scores(run)["checks"]) == len(NAMES)
  curves = {line["name"]: line for line in _scores(run)["plots"][0]["series"]}
  assert curves["baseline"]["x"] == list(range(9, 17))
  copy = curves["copy of the last given frame"]["y"]
  assert copy[0] > copy[-1]  # The object moves away from it.


def test_latents_are_told_relative_to_zero_and_to_the_last(run):
  tables = {table["title"]: table for table in _scores(run)["tables"]}
  rows = tables["Latents that are regressed"]["rows"]
  assert [row["name"] for row in rows] == ["baseline"]
  loss, over_zero, over_last = rows[0]["cells"]
  # It starts as a copy of the last latents, and has hardly moved.
  assert over_last == pytest.approx(1, abs=0.2)
  assert 0 < over_zero < over_last and loss > 0


def test_scenes_out_of_distribution_stand_beside(run):
  tables = {table["title"]: table for table in _scores(run)["tables"]}
  table = tables["In and out of distribution"]
  assert [column["name"] for column in table["columns"]] == [
    "test: foreground", "test: ADE", "ood_speed: foreground", "ood_speed: ADE",
  ]  # fmt: skip
  rows = {row["name"]: list(map(_value, row["cells"])) for row in table["rows"]}
  assert set(rows) == {
    *NAMES, "copy of the last given frame", "constant velocity",
    "floor: true frames through the tokenizer",
  }  # fmt: skip
  first = {
    row["name"]: _value(row["cells"][0])
    for row in tables["Ways of predicting"]["rows"]
  }
  for name, cells in rows.items():
    is_path = name == "constant velocity"
    assert cells[0] == (None if is_path else pytest.approx(first[name]))
    assert (cells[2] is None) == is_path and cells[3] is not None
    assert cells[1] != cells[3]


@pytest.mark.slow
def test_predictors_that_come_later_stand_beside_the_others(run_of):
  tables = {t["title"]: t for t in _scores(run_of(_GUIDED))["tables"]}
  names = [row["name"] for row in tables["Ways of predicting"]["rows"]]
  assert names[:4] == [*NAMES, *_LATER]
  rows = tables["Latents that are regressed"]["rows"]
  assert {row["name"] for row in rows} == {"baseline", _GUIDED}


@pytest.mark.parametrize("name", [*NAMES, *_SLOW])
def test_later_frames_change_no_prediction(name, run_of):
  stage = _stages(run_of(name))[name]
  data = stage.clips.training_clips
  frames = np.stack([data[i]["frames"] for i in range(4)])
  other = frames.copy()
  other[:, _GIVEN:] = 255 - other[:, _GIVEN:]
  params = stage.params()

  def predicted(frames):
    tokens = stage.clips.tokenize({"frames": frames})
    shown = {"frames": frames, "cond_tokens": tokens["cond_tokens"]}
    return stage.predict(params, shown)

  np.testing.assert_array_equal(predicted(frames), predicted(other))
  earlier = frames.copy()
  earlier[:, :_GIVEN] = 255 - earlier[:, :_GIVEN]
  assert (predicted(frames) != predicted(earlier)).any()


def test_a_second_start_changes_nothing(run):
  experiment = Experiment(small_studies.make_prediction(), run)
  assert shrunk.changed_by(experiment.run, run) <= {"config.json"}


def test_other_fields_of_a_trained_network_are_refused(run):
  config = small_studies.make_prediction(prediction__mask_schedule="uniform")
  with pytest.raises(UserError, match="mask_schedule"):
    Experiment(config, run).run()


@pytest.mark.parametrize("name", _SLOW)
def test_an_interrupted_run_goes_on_to_the_same_bits(name, run_of, tmp_path):
  run = run_of(name)
  config = small_studies.make_prediction(
    prediction__names=name, data__data_dir=str(run / "data"), stages=name
  )
  with pytest.raises(Interrupted):
    Experiment(config, tmp_path, stop_after=(name, 3)).run()
  Experiment(config, tmp_path).run()
  found = [_params(folder, name) for folder in (run, tmp_path)]
  assert jax.tree.leaves(found[0])
  assert identity.fingerprint(found[0]) == identity.fingerprint(found[1])


def _params(workdir, name):
  folder = workdir / name / "checkpoints" / str(small_studies.NUM_STEPS)
  with ocp.StandardCheckpointer() as reader:
    return reader.restore(folder / "state")["params"]


@pytest.mark.parametrize(
  "field",
  [
    "train_tokenizer__batch_size",
    "train_prediction__batch_size",
    "prediction__eval_batch_size",
  ],
)
def test_batches_divide_over_the_devices(field, tmp_path, monkeypatch):
  sizes = {
    "train_tokenizer__batch_size": 8,
    "train_prediction__batch_size": 8,
    "prediction__eval_batch_size": 8,
  }
  config = small_studies.make_traj2d(**sizes | {field: 12})
  monkeypatch.setattr(sharding, "num_batch_shards", lambda mesh: 8)
  named = field.replace("__", ".")
  with pytest.raises(UserError, match=rf"{named}=12 does not divide"):
    Experiment(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"prediction__names": "masked,gan"}, r"prediction\.names.*gan is no"),
    ({"prediction__given_frames": 16}, "given_frames=16.*leaves no frame"),
    ({"prediction__given_frames": 0}, "given_frames=0 must be 1 or more"),
    (
      {"prediction__given_frames": 6, "prediction__names": "slowfast"},
      "given_frames=6 must be a multiple of 4 for slowfast",
    ),
    (
      {
        "prediction__given_frames": 6,
        "prediction__names": "masked",
        "prediction__class_conditional": True,
      },
      r"given_frames=6 must be a multiple of 4, the frames of a token",
    ),
    ({"prediction__pixel_share": 0.0}, r"pixel_share=0\.0 must be above 0"),
    ({"prediction__num_steps__slowfast": 0}, "slowfast=0: the predictors"),
    ({"prediction__transformer__num_heads": 5}, "num_heads=5 does not divide"),
    ({"prediction__mask_schedule": "x"}, "mask_schedule='x' is none; use"),
    ({"data__image_size": 48}, r"trained on frames of 32 px"),
    ({"data__num_frames": 14}, r"config\.data\.num_frames=14 is not a multi"),
    ({"pretrained": None}, r"config\.pretrained is missing"),
    ({"train_prediction": None}, r"config\.train_prediction is missing"),
    ({"stages": "tokenizer"}, "the stages are data,baseline,pooled,joint_i3d"),
  ],
)
def test_wrong_fields_are_named(fields, named, tmp_path):
  config = small_studies.make_prediction(
    **{k: v for k, v in fields.items() if v is not None}
  )
  config |= {k: v for k, v in fields.items() if v is None}
  with pytest.raises(UserError, match=named):
    Experiment(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
