"""Scores do not flatter: of networks and models that are known to be useless.

Also: shuffled labels give chance (attention_probe_test); constant
velocity is exact on lines without noise (scene_scores_test).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_outputs
import table_values

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.evaluation import (
  checks,
  image_metrics,
  motion_clips,
  predictions,
  reconstruction,
  tokenizer_scores,
)
from magvit3d.evaluation.results import Results
from magvit3d.run import oracle_gate

_GIVEN = 4


@pytest.fixture(scope="module")
def outputs(trained_run):
  return small_outputs.make(trained_run)[0]


def _rows(results, title):
  return table_values.rows(table_values.find(results.tables, title))


def test_a_tokenizer_with_random_weights_fails_its_gate(outputs):
  tokenizer = outputs.model.tokenizer
  params = jax.jit(tokenizer.init)(
    jax.random.key(0), jnp.asarray(outputs.real[:1])
  )["params"]
  reconstruct = tokenizer_scores.make_reconstruct(tokenizer, 4, outputs.mesh)
  scores = tokenizer_scores.validation_scores(
    reconstruct, params, outputs.clips
  )
  config = RunConfig.from_dict({"oracle_gate": True, "oracle_gate_db": 3.0})
  with pytest.raises(UserError, match="Oracle gate"):
    oracle_gate.check(scores, len(outputs.real), config)
  perfect = tokenizer_scores.validation_scores(
    lambda params, frames, _: (outputs.real, outputs.tokens.tokens),
    params,
    outputs.clips,
  )
  oracle_gate.check(perfect, len(outputs.real), config)


def test_a_model_that_shows_the_bare_background_is_worse_than_a_copy(
  outputs, monkeypatch
):
  index = [task.name for task in outputs.model.tasks].index("frame_prediction")
  bare = np.broadcast_to(
    image_metrics.background_only(
      outputs.clips["background"], outputs.real.shape
    ),
    outputs.real.shape,
  )
  assert outputs.reconstruction.shape == bare.shape  # Before decode changes.
  monkeypatch.setattr(outputs, "decode", lambda grids: bare)
  results = Results("test", has_objects=True)
  predicted = predictions.PredictedClips(outputs, index)
  predicted.score_pixels(results)
  text = checks.worse_than_copying(results.measured)
  assert text.startswith("The prediction is worse than copying the last")
  assert "foreground PSNR" in text


def test_motions_are_shown_by_the_scene_of_median_error(outputs):
  held_out = outputs.held_out
  labels = held_out.samples["labels"]
  frames = outputs.clips["frames"]
  results = Results("test", has_objects=True)
  ade = np.arange(len(labels))[::-1] / 10
  motion_clips.keep(results, held_out, frames, frames, _GIVEN, ade)
  shown = results.shown
  for row, name in enumerate(shown["motions/names"]):
    number = held_out.motion_names.index(name)
    of_motion = np.flatnonzero(labels % len(held_out.motion_names) == number)
    wanted = sorted(ade[of_motion])[(len(of_motion) - 1) // 2]
    assert shown["motions/ade"][row] == pytest.approx(wanted)
    scene = list(ade).index(wanted)
    np.testing.assert_array_equal(shown["motions/real"][row], frames[3 * scene])
    assert name in shown["motions/captions"][row]
  assert set(shown["motions/names"]) == {
    held_out.motion_names[label % 4] for label in labels
  }


def test_a_model_that_copies_the_last_frame_scores_as_that_baseline(
  outputs, monkeypatch
):
  index = [task.name for task in outputs.model.tasks].index("frame_prediction")
  copies = image_metrics.copy_last(outputs.real, _GIVEN)
  assert outputs.reconstruction.shape == copies.shape  # Before decode changes.
  monkeypatch.setattr(outputs, "decode", lambda grids: copies)
  predicted = predictions.PredictedClips(outputs, index)
  results = Results("test", has_objects=True)
  predicted.score_pixels(results)
  rows = _rows(results, "Predicted clips")
  assert rows["transformer"] == rows["copy of the last given frame"]
  assert rows["transformer"] != rows["background only"]
  assert results.measured["foreground_psnr_over_copy_last_db"] == 0
  tally = predicted.score_paths(results)
  rows = _rows(results, "Predicted paths")
  assert rows["predicted"] == rows["copy last"]
  rows = _rows(results, "Predicted paths: ADE in metres by shape and motion")
  assert rows["predicted"] == rows["copy last"]
  assert results.measured["ade_over_copy_last"] == 1
  results.check(outputs.settings, outputs.held_out.motion_names)
  missed = {c["name"] for c in results.checks if not c["passed"]}
  assert "Predicted ADE over that of the copy of the last frame" in missed
  motions = outputs.held_out.motion_names
  for motion in motions:
    key = checks.ade_key(motion, checks.PREDICTED)
    # Four scenes: not each motion has one.
    copied = results.measured[checks.ade_key(motion, checks.COPY_LAST)]
    assert results.measured[key] == copied
    name = f"Predicted ADE on {motion} motion: below {checks.COPY_LAST}"
    assert name in missed
  paths = tally.paths()
  names = paths["names"].tolist()
  np.testing.assert_array_equal(
    paths["positions"][0], paths["positions"][names.index("copy_last")]
  )


def test_true_clips_score_as_the_floor(outputs, monkeypatch):
  index = [task.name for task in outputs.model.tasks].index("frame_prediction")
  monkeypatch.setattr(outputs, "decode", lambda grids: outputs.real)
  monkeypatch.setattr(outputs, "reconstruction", outputs.real)
  results = Results("test", has_objects=True)
  predictions.PredictedClips(outputs, index).score_paths(results)
  reconstruction.score_paths(outputs, results)
  rows = _rows(results, "Predicted paths")
  assert rows["predicted"] == rows["floor: true frames"]
  assert rows["predicted"] == rows["floor: reconstructions"]
  assert checks.worse_than_copying(results.measured) == ""
  rows = _rows(results, "Paths through the tokenizer")
  assert rows["reconstructions"] == rows["floor: true frames"]
