"""Hidden and wrong tokens in training: at the rates that the config says.

Tolerances: a share of 0.02. Of n clips a rate p has a deviation of
sqrt(p (1 - p) / n), at most 0.5 / sqrt(n): 4 of them are 0.02 for n = 10,000.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_world

from magvit3d.tokens import noise, schedules
from magvit3d.tokens.vocabulary import MASK

_NUM_CLIPS = 10_000


def _draw(num_clips=_NUM_CLIPS, grid=(4, 4, 4), **fields):
  config = small_world.make_config(**fields)
  rng, token_rng = jax.random.split(jax.random.key(3))
  shape = (num_clips, *grid)
  tokens = jax.random.randint(token_rng, shape, 0, config.num_levels)
  draw = jax.jit(lambda r, t: noise.make_noisy(r, t, config))
  return tokens, draw(rng, tokens)


@pytest.fixture(scope="module")
def drawn():
  return _draw()


def test_objectives_have_their_rates(drawn):
  _, noisy = drawn
  shares = np.bincount(noisy.objective, minlength=3) / _NUM_CLIPS
  np.testing.assert_allclose(shares, (0.5, 0.4, 0.1), atol=0.02)


def test_objectives_differ_in_what_is_given_and_seen(drawn):
  _, noisy = drawn
  objective = np.asarray(noisy.objective)
  given = np.asarray(noisy.num_given)
  assert not given[objective != noise.FUTURE].any()
  # 1, 2 or 3 of 4 frames, equally often: n = 5,000, deviation below 0.007.
  counts = np.bincount(given[objective == noise.FUTURE], minlength=5)
  shares = counts / counts.sum()
  np.testing.assert_allclose(shares, (0, 1 / 3, 1 / 3, 1 / 3, 0), atol=0.03)
  np.testing.assert_array_equal(noisy.sees_past, objective != noise.SINGLE)


def test_given_frames_are_true_and_only_the_rest_is_changed(drawn):
  tokens, noisy = drawn
  is_given = np.broadcast_to(noisy.is_given, tokens.shape)
  np.testing.assert_array_equal(noisy.inputs[is_given], tokens[is_given])
  changed = np.asarray(noisy.inputs != tokens)
  np.testing.assert_array_equal(
    changed, np.asarray(noisy.is_hidden | noisy.is_wrong)
  )
  assert not (noisy.is_hidden & noisy.is_wrong).any()
  shown = np.asarray(noisy.inputs)[~np.asarray(noisy.is_hidden)]
  assert shown.min() >= 0 and shown.max() < 4
  assert set(np.unique(noisy.inputs)) == {MASK, 0, 1, 2, 3}


def test_of_shown_tokens_u_times_eta_are_wrong():
  # The mean of u x eta is 0.1. Its deviation between clips is 0.2 / sqrt(12),
  # and clips count by what they show, 1 - cos: as if they were 1.72 times
  # fewer. 4 deviations are 2% of 0.1 for n = 23,000; the draws of single tokens
  # add a tenth to that.
  _, noisy = _draw(30_000, (2, 4, 4), future_share=0.0, joint_share=1.0)
  share = float(noise.noise_share(noisy))
  assert abs(share - 0.1) < 0.02 * 0.1
  by_clip = np.asarray(
    noisy.is_wrong.sum((1, 2, 3))
    / jnp.maximum((~noisy.is_hidden).sum((1, 2, 3)), 1)
  )
  many = np.asarray((~noisy.is_hidden).sum((1, 2, 3))) >= 24
  # u differs between clips: with one rate for all, 0.1, 24 tokens would spread
  # by sqrt(0.09 / 24) = 0.061; with u they do by 0.084.
  assert by_clip[many].std() > 0.07


def test_wrong_tokens_are_any_other_code_equally_often():
  tokens, noisy = _draw(3000, (2, 4, 4), max_noise=1.0, joint_share=0.5)
  wrong = np.asarray(noisy.is_wrong)
  shift = (np.asarray(noisy.inputs) - np.asarray(tokens))[wrong] % 4
  shares = np.bincount(shift, minlength=4) / len(shift)
  assert len(shift) > 10_000
  np.testing.assert_allclose(shares, (0, 1 / 3, 1 / 3, 1 / 3), atol=0.02)


@pytest.mark.parametrize("draw", ["clip", "frame"])
def test_hidden_tokens_follow_the_schedule(draw):
  _, noisy = _draw(4000, (3, 8, 8), future_share=0.0, draw=draw)
  axes = (1, 2, 3) if draw == "clip" else (2, 3)
  shares = np.sort(np.asarray(noisy.is_hidden.mean(axes)).ravel())
  progress = (np.arange(len(shares)) + 0.5) / len(shares)
  wanted = np.sort(schedules.mask_ratio("cosine", jnp.asarray(progress), 64))
  # Kolmogorov-Smirnov of n >= 4,000 places, four deviations of the median,
  # through a slope of pi / 2, and a token of 64 that is rounded up.
  np.testing.assert_allclose(
    shares, wanted, atol=4 * 0.5 / 4000**0.5 * np.pi / 2 + 1 / 64
  )


def test_actions_are_dropped_at_the_rate():
  told = np.asarray(noise.draw_told(jax.random.key(0), _NUM_CLIPS, 6, 0.1))
  count = told.sum(1)
  assert abs((count == 0).mean() - 0.1) < 0.02
  assert abs(((count > 0) & (count < 6)).mean() - 0.1) < 0.02
  # Once they are told, all later ones are.
  assert (np.diff(told.astype(int), axis=1) >= 0).all()
