"""Tests of masks: how many tokens are hidden, which, and what is shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens import masking
from magvit3d.tokens.vocabulary import MASK

_SHAPE = (3, 2, 3, 4)  # 24 tokens a clip.
_FIXED_MODES = ("input->input", "cond->cond")
_mask = jax.jit(masking.random_mask, static_argnums=(5, 6))


@pytest.fixture(scope="module")
def grids():
  rng = np.random.default_rng(0)
  inputs = jnp.asarray(rng.integers(0, 50, _SHAPE), jnp.int32)
  cond_inputs = jnp.asarray(rng.integers(50, 99, _SHAPE), jnp.int32)
  cond_mask = np.zeros((1, 2, 1, 1), bool)
  cond_mask[:, 0] = True
  score = jnp.asarray(rng.uniform(size=_SHAPE), jnp.float32)
  return inputs, cond_inputs, jnp.asarray(cond_mask), score


@pytest.mark.parametrize("mode", masking.CONDITION_MODES)
def test_the_lowest_scores_are_masked_in_exact_number(grids, mode):
  maskable = np.ones(_SHAPE, bool)
  if mode in _FIXED_MODES:
    maskable[:, 0] = False
  num_maskable = maskable[0].sum()
  for ratio in (0.0, 0.01, 0.3, 0.5, 0.99, 1.0):
    out = _mask(*grids, ratio, mode, "mask+refine")
    is_masked = np.asarray(out.weights) == 1
    count = min(max(int(num_maskable * ratio), 1), num_maskable)
    np.testing.assert_array_equal(is_masked.sum(axis=(1, 2, 3)), count)
    assert not np.any(is_masked & ~maskable)
    for clip in range(3):
      score = np.asarray(grids[3][clip])
      shown = score[maskable[clip] & ~is_masked[clip]]
      assert score[is_masked[clip]].max() < min(shown, default=np.inf)


@pytest.mark.parametrize("mode", _FIXED_MODES)
def test_fixed_modes_never_mask_what_is_given(grids, mode):
  inputs, cond_inputs, _, _ = grids
  out = _mask(*grids, 1.0, mode, "mask+refine+recons")
  given = inputs if mode == "input->input" else cond_inputs
  np.testing.assert_array_equal(out.masked_inputs[:, 0], given[:, 0])
  np.testing.assert_array_equal(out.targets[:, 0], given[:, 0])
  np.testing.assert_array_equal(out.masked_inputs[:, 1], MASK)
  np.testing.assert_array_equal(out.weights[:, 0], 0)
  np.testing.assert_array_equal(out.weights[:, 1], 1)


def test_commit_shows_condition_tokens_for_masked_ones(grids):
  inputs, cond_inputs, _, _ = grids
  out = _mask(*grids, 0.5, "cond->input", "mask+refine")
  is_masked = np.asarray(out.weights) == 1
  shows_condition = is_masked.copy()
  shows_condition[:, 1] = False
  expected = np.where(is_masked, MASK, inputs)
  np.testing.assert_array_equal(out.uncond_masked_inputs, expected)
  expected = np.where(shows_condition, cond_inputs, expected)
  np.testing.assert_array_equal(out.masked_inputs, expected)
  np.testing.assert_array_equal(out.segment_ids, shows_condition)
  np.testing.assert_array_equal(out.targets, inputs)


def test_reconstruction_weights_count_every_maskable_position(grids):
  out = _mask(*grids, 0.1, "cond->input", "mask+refine+recons")
  np.testing.assert_array_equal(out.weights, 1)


def test_unknown_modes_name_the_known_ones(grids):
  with pytest.raises(ValueError, match=r"mode 'x'; use one of None, 'cond->i"):
    masking.random_mask(*grids, 0.5, "x", "mask+refine")
  with pytest.raises(ValueError, match=r"weight mode 'x'; use one of mask\+r"):
    masking.random_mask(*grids, 0.5, None, "x")
