"""A run whose transformer sees several cameras, shrunk to seconds."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shrunk
import table_values

from configs import traj3d_multiview
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.report.file_reading import read_tables
from magvit3d.report.run_report import write_report
from magvit3d.training.loop import Interrupted
from magvit3d.training.masked_stage import TransformerStage

_TASKS = (
  "frame_prediction",
  "full_generation",
  "view_frame_prediction",
  "view_prediction",
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """Interrupted in the transformer's training, and run to the end."""
  workdir = tmp_path_factory.mktemp("multiview")
  with pytest.raises(Interrupted, match="transformer stopped at step 3"):
    Experiment(
      shrunk.make_scenes_config(), workdir, stop_after=("transformer", 3)
    ).run()
  Experiment(shrunk.make_scenes_config(), workdir).run()
  return workdir


def _metrics(workdir):
  text = (workdir / "transformer" / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_losses_are_logged_by_task(workdir):
  """Each step moves the averages of its two scenes' tasks; the others stay."""
  steps = _metrics(workdir)
  assert [line["step"] for line in steps] == list(range(1, 7))
  losses = np.array(
    [[line[f"train/loss/{name}"] for name in _TASKS] for line in steps]
  )
  before = np.vstack([np.full(len(_TASKS), np.log(32)), losses[:-1]])
  is_moved = np.abs(losses - before) > 1e-6
  np.testing.assert_array_equal(is_moved.sum(axis=1), 2)
  assert is_moved.any(axis=0).sum() > 1
  for line, old, new, moved in zip(
    steps, before, losses, is_moved, strict=True
  ):
    of_step = (new[moved] - 0.9 * old[moved]) / 0.1
    np.testing.assert_allclose(of_step.mean(), line["train/loss"], rtol=1e-4)


def test_all_tasks_are_validated_and_scored(workdir):
  last = _metrics(workdir)[-1]
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  tables = {table.title: table for table in read_tables(scores)}
  rows = list(table_values.rows(tables["Hidden tokens"]))
  for name in _TASKS:
    assert 0 < last[f"validation/{name}/masked_error"] <= 1
    assert f"{name}, all cells" in rows
  # Two scenes of three views are looked at: 6 clips, 4 of them not given.
  assert tables["Reconstruction"].n == tables["Predicted clips"].n == 6
  for name, copies in (
    ("view_prediction", ["copy of the nearest given view"]),
    (
      "view_frame_prediction",
      ["copy of the last given frame", "copy of the nearest given view"],
    ),
  ):
    table = tables[f"Predicted: {name}"]
    assert table.n == 4
    baselines = table_values.baselines(table)
    assert baselines == [*copies, "background only"]
    rows = table_values.rows(table)
    assert list(rows) == [
      "transformer",
      "floor: true frames through the tokenizer",
      *baselines,
    ]
    assert np.isfinite(list(rows.values())).all()


def test_columns_of_all_tables_have_directions_and_cells_are_numbers(workdir):
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  table_values.check(scores)
  tables = {table.title: table for table in read_tables(scores)}
  directions = {
    title: {column.name: column.direction for column in table.columns}
    for title, table in tables.items()
  }
  of_paths = directions["Predicted paths"]
  assert of_paths["ADE"] == of_paths["residual"] == "lower"
  assert of_paths["mask IoU"] == "higher"
  assert set(directions["Probes: position"].values()) == {"lower"}
  assert set(directions["Probes: classes"].values()) == {"higher"}
  assert directions["Rate and reconstruction"]["bits per clip"] is None
  of_samples = directions["Samples of a class"]
  assert of_samples["n"] is None and of_samples["shape"] == "higher"
  ade = tables["Predicted paths"].rows[0].cells[0]
  assert ade.low < ade.value < ade.high


def test_report_shows_each_predicted_task_and_all_views(workdir):
  page = write_report(workdir).read_text()
  for title in ("prediction", "view_prediction", "view_frame_prediction"):
    assert f"<h3>{title}</h3>" in page
  assert "nearest view" in page
  clips = np.load(workdir / "evaluation" / "clips.npz")
  assert clips["samples/frames"].shape == (12, 1, 8, 24, 3 * 24, 3)
  assert clips["samples/real"].shape == (12, 8, 24, 3 * 24, 3)


@pytest.mark.slow
def test_tokens_made_in_the_step_give_the_step_that_cached_ones_give(workdir):
  run = Experiment(shrunk.make_scenes_config(), workdir)._run
  params = run.networks.tokenizer_params()
  model = run.networks.token_model()
  stage = TransformerStage(
    RunConfig.from_dict(shrunk.make_scenes_config()), model, 10, params
  )
  scenes = run.data.some_samples("train", 6, 3)
  tokens = jax.jit(model.tokenize)(
    params, jnp.asarray(scenes["frames"] / np.float32(255)), scenes["labels"]
  )
  cameras = {
    key: scenes[key] for key in ("views", "intrinsics", "camera_from_world")
  }
  state = jax.jit(stage.init_state)()
  step = jax.jit(stage.train_step)
  for number in range(4):  # All tasks have their turn.
    at_step = state.replace(step=jnp.int32(number))
    labels = {"labels": scenes["labels"]}
    _, cached = step(
      at_step,
      labels
      | cameras
      | {"tokens": tokens.tokens, "cond_tokens": tokens.cond_tokens},
      params,
    )
    _, direct = step(
      at_step, labels | cameras | {"frames": scenes["frames"]}, params
    )
    # The same tokens; float32 sums.
    np.testing.assert_allclose(direct["loss"], cached["loss"], rtol=1e-5)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"train_transformer__batch_size": 8}, r"batch_size=8 counts clips.* 3"),
    ({"evaluation__batch_size": 4}, r"evaluation.batch_size=4 counts clips"),
    ({"transformer__num_views": 4}, r"transformer.num_views=4.* have 3 cam"),
    ({"transformer__camera_embedding": None}, r"needs transformer.camera_emb"),
    ({"maskgvt__condition_mode": "prefix"}, r"prefix"),
  ],
)
def test_fields_that_do_not_fit_are_told_before_anything_is_made(
  tmp_path, fields, message
):
  with pytest.raises(UserError, match=message):
    Experiment(shrunk.make_scenes_config(**fields), tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("variant", traj3d_multiview.VARIANTS)
def test_networks_of_every_variant_can_be_built(variant, tmp_path):
  Experiment(traj3d_multiview.get_config(variant).to_dict(), tmp_path)


def test_unknown_variant_is_told_the_known_ones():
  with pytest.raises(ValueError, match=r"'L'.*tiny, S, B"):
    traj3d_multiview.get_config("L")
