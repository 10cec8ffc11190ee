"""Tests of schedules and parallel decoding."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens import decoding, schedules
from magvit3d.tokens.vocabulary import MASK

_SHAPE = (2, 2, 3, 4)
_ORACLE = jax.random.randint(jax.random.key(5), _SHAPE, 0, 7)


def _oracle_logits(shown):
  del shown
  return 50 * jax.nn.one_hot(_ORACLE, 7)


def _decode_and_record(num_iter, mode=None, cond_mask=None, **options):
  """Also returns what the network saw at each step."""
  seen = []

  def logits_fn(shown):
    jax.debug.callback(
      lambda x: seen.append(np.asarray(x)), shown.masked_inputs, ordered=True
    )
    return _oracle_logits(shown)

  cond_inputs = None if mode is None else _ORACLE
  steps = decoding.decode(
    jax.random.key(0),
    logits_fn,
    _SHAPE,
    cond_inputs,
    cond_mask,
    condition_mode=mode,
    num_iter=num_iter,
    **options,
  )
  jax.effects_barrier()
  return np.asarray(steps.tokens[-1]), np.stack(seen)


@pytest.mark.parametrize("method", ["uniform", "cosine", "pow2", "log"])
def test_schedules_fall_from_one_to_the_floor(method):
  start = 1e-6 if method == "log" else 0.0
  progress = jnp.linspace(start, 1, 101)
  ratio = schedules.mask_ratio(method, progress, 1024)
  assert ratio[0] == 1
  np.testing.assert_allclose(ratio[-1], 1e-6, atol=1e-7)
  assert np.all(np.diff(ratio) <= 0)


def test_polynomial_schedules_take_the_highest_power_first():
  ratio = schedules.mask_ratio("poly:-1,0,1", jnp.float32(0.5), 16)
  np.testing.assert_allclose(ratio, 0.75)


def test_an_unknown_schedule_names_the_known_ones():
  with pytest.raises(ValueError, match="'line'; use 'uniform', 'cosine'"):
    schedules.mask_ratio("line", jnp.float32(0.5), 16)


def test_an_oracle_is_believed_and_unknowns_fall_by_the_schedule():
  tokens, seen = _decode_and_record(5)
  np.testing.assert_array_equal(tokens, _ORACLE)
  unknown = np.sum(seen == MASK, axis=(2, 3, 4))
  expected = [24] + [
    max(1, math.floor(24 * math.cos(math.pi / 2 * step / 5)))
    for step in range(1, 5)
  ]
  np.testing.assert_array_equal(unknown, np.array(expected)[:, None] + [0, 0])
  is_known = seen != MASK
  np.testing.assert_array_equal(is_known[1:] & is_known[:-1], is_known[:-1])


def test_more_steps_than_tokens_know_one_more_each_step_to_the_end():
  tokens, seen = _decode_and_record(40)
  np.testing.assert_array_equal(tokens, _ORACLE)
  unknown = np.sum(seen == MASK, axis=(2, 3, 4))
  falls = unknown[:-1] - unknown[1:]
  # Nothing that is known is asked again, also once one token or none is left.
  assert np.all(falls >= np.minimum(unknown[:-1], 1))
  assert np.all(unknown[-1] == 0)


def test_given_tokens_stay_in_a_fixed_mode():
  cond_mask = jnp.zeros((1, 2, 1, 1), bool).at[:, 0].set(True)
  given = (_ORACLE + 1) % 7  # Not what the network would say.
  tokens = decoding.decode(
    jax.random.key(0),
    _oracle_logits,
    _SHAPE,
    given,
    cond_mask,
    condition_mode="cond->cond",
    num_iter=4,
  ).tokens[-1]
  np.testing.assert_array_equal(tokens[:, 0], given[:, 0])
  np.testing.assert_array_equal(tokens[:, 1], _ORACLE[:, 1])


def test_commit_predicts_the_condition_region_too():
  cond_mask = jnp.ones((1, 1, 1, 1), bool)
  tokens = decoding.decode(
    jax.random.key(0),
    _oracle_logits,
    _SHAPE,
    (_ORACLE + 1) % 7,
    cond_mask,
    condition_mode="cond->input",
    num_iter=4,
  ).tokens[-1]
  np.testing.assert_array_equal(tokens, _ORACLE)


def test_intermediate_steps_are_kept():
  steps = decoding.decode(jax.random.key(0), _oracle_logits, _SHAPE, num_iter=4)
  assert steps.tokens.shape == (4, *_SHAPE)
  # The last step has no noise, so that an oracle's confidences all tie.
  np.testing.assert_array_equal(
    np.sum(steps.is_unknown, axis=(2, 3, 4))[:3],
    np.array([22, 16, 9])[:, None] + [0, 0],  # floor(24 cos(pi s / 8)).
  )
  np.testing.assert_array_equal(steps.tokens[-1], _ORACLE)


def test_decoding_draws_among_the_top_k_only():
  ranks = jnp.arange(7.0)
  steps = decoding.decode(
    jax.random.key(0),
    lambda shown: jnp.broadcast_to(ranks, (*_SHAPE, 7)),
    _SHAPE,
    num_iter=2,
    sampling_temperature=100.0,
    top_k=2,
  )
  # 48 draws of two nearly even choices: both appear but in 2 of 2**48 runs.
  assert set(np.unique(steps.tokens)) == {5, 6}
