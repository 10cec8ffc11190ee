"""Networks, sequences and scores of the prediction study."""

import dataclasses
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import future_prediction
from magvit3d.config.networks import TransformerConfig
from magvit3d.config.run import RunConfig
from magvit3d.data.clips import ClipSource
from magvit3d.evaluation.metres.baselines import BACKGROUND_ONLY, COPY_LAST
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS
from magvit3d.evaluation.results import Results
from magvit3d.models.predictors import LatentRegressor
from magvit3d.studies.prediction.prediction_clips import (
  TokenizedClips,
  TokenSequences,
)
from magvit3d.studies.prediction.prediction_scores import (
  Predicted,
  PredictionScores,
)
from magvit3d.studies.prediction.regression_training import every_nth

_SIZES = TransformerConfig(num_layers=1, hidden_size=8, mlp_dim=8, num_heads=2)


def _regressor(is_pooled):
  network = LatentRegressor(_SIZES, 1, is_pooled)
  shown = jax.random.normal(jax.random.key(0), (2, 3, 2, 2, 5))
  return network, network.init(jax.random.key(1), shown), shown


def test_a_regressor_starts_as_a_copy_of_what_is_shown():
  network, variables, shown = _regressor(is_pooled=False)
  made = network.apply(variables, shown)
  np.testing.assert_array_equal(made, shown[:, 1:])


def test_a_pooled_one_reads_means_alone():
  network, variables, shown = _regressor(is_pooled=True)
  made = network.apply(variables, shown)
  assert made.shape == (2, 2, 2, 2, 5)
  mixed = shown[:, :, ::-1, ::-1]
  np.testing.assert_allclose(network.apply(variables, mixed), made, atol=1e-5)
  assert not np.allclose(network.apply(variables, shown + 1), made, atol=1e-3)


def test_motion_guides_it():
  network = LatentRegressor(dataclasses.replace(_SIZES), 1)
  shown, motion = jnp.ones((1, 2, 2, 2, 3)), jnp.arange(4.0)[None]
  variables = network.init(jax.random.key(0), shown, motion)
  # Its last layer starts at zero; what comes before it shall see the motion.
  kernel = variables["params"]["change"]["kernel"]
  variables["params"]["change"]["kernel"] = jax.random.normal(
    jax.random.key(1), kernel.shape
  )
  made = [network.apply(variables, shown, m) for m in (motion, motion[:, ::-1])]
  assert not np.allclose(made[0], made[1], atol=1e-4)


def _clips(labels):
  tokens = np.arange(2 * 4 * 3 * 3, dtype=np.int32).reshape(2, 4, 3, 3)
  clips = mock.create_autospec(ClipSource, instance=True)
  return TokenizedClips(clips, tokens, -tokens - 1, labels, False, "two")


@pytest.mark.parametrize(
  ("count", "n", "rows"),
  [(6, 1, [0, 1, 2, 3, 4, 5]), (6, 3, [0, 3]), (7, 3, [0, 3]), (2, 4, [0])],
)
def test_every_nth_row_is_taken(count, n, rows):
  x = jnp.arange(2 * count).reshape(count, 2)
  np.testing.assert_array_equal(every_nth(x, n), x[jnp.array(rows)])


def test_sequences_hold_what_is_given_then_the_truth():
  clips = _clips(None)
  sample = TokenSequences(clips, 2, 2, 0).random_clip(
    1, np.random.default_rng(0)
  )
  np.testing.assert_array_equal(sample["tokens"][:2], -clips.tokens[1, :2] - 1)
  np.testing.assert_array_equal(sample["tokens"][2:], clips.tokens[1, 2:])
  assert sample["labels"] == 0
  # A latent frame that is given in part is shown, and told as well.
  longer = TokenSequences(clips, 1, 0, 0).random_clip(
    0, np.random.default_rng(0)
  )
  assert longer["tokens"].shape == (5, 3, 3)


def test_half_of_the_sequences_are_clips_of_a_class():
  clips = _clips(np.array([3, 5], np.int32))
  sequences = TokenSequences(clips, 2, 2, no_class=7)
  rng, count = np.random.default_rng(0), 2000
  drawn = [sequences.random_clip(1, rng) for _ in range(count)]
  whole = [sample for sample in drawn if sample["labels"] == 5]
  assert all(s["labels"] == 7 for s in drawn if s["labels"] != 5)
  for sample in whole[:3]:
    np.testing.assert_array_equal(sample["tokens"], clips.tokens[1])
  # Four standard deviations of a fair coin's share.
  assert abs(len(whole) / count - 0.5) < 4 * 0.5 / np.sqrt(count)


def _scored(made, settings):
  """Scores of one clip of 4 frames, half given: a square that moves right."""
  real = np.zeros((1, 4, 16, 16, 3), np.float32)
  for frame in range(4):
    real[0, frame, 4:8, 3 * frame : 3 * frame + 4] = 1
  others = {
    COPY_LAST: real[:, [0, 1, 1, 1]],
    BACKGROUND_ONLY: np.zeros_like(real),
    RECONSTRUCTIONS: real,
  }
  results = Results("test", has_objects=True)
  predicted = {
    name: Predicted(clips(real), 10, None, 1.0, None)
    for name, clips in made.items()
  }
  scores = PredictionScores(
    results, predicted, others, real, real[..., 0] > 0, 1, settings
  )
  scores.add(None)
  return scores, results


@pytest.fixture
def settings():
  config = future_prediction.get_config("masked_tiny").to_dict()
  return dataclasses.replace(
    RunConfig.from_dict(config).prediction, given_frames=2
  )


def test_the_truth_passes_and_what_is_trivial_gains_nothing(settings):
  scores, results = _scored(
    {
      "masked": lambda real: real,
      "baseline": lambda real: real[:, [0, 1, 1, 1]],
    },
    settings,
  )
  assert scores.gain("masked") > 10
  # The square is a small part of its surroundings: black beats the copy, which
  # is wrong in two places.
  assert scores.gain("baseline") < 0
  assert [check["passed"] for check in results.checks] == [True, False]
  curves = {line["name"]: line["y"] for line in results.plots[0]["series"]}
  assert curves["masked"] == curves["floor: true frames through the tokenizer"]
