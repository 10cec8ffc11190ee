"""Tests of drawing tokens from logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens import sampling


@pytest.fixture
def logits():
  return jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 30)) * 3)


def _kept(cut):
  return np.asarray(cut) > sampling.DROPPED


@pytest.mark.parametrize("count", [1, 7, 30])
def test_top_k_keeps_the_largest(logits, count):
  kept = _kept(sampling.keep_top_k(logits, count))
  rank = np.argsort(np.argsort(-np.asarray(logits), axis=-1), axis=-1)
  np.testing.assert_array_equal(kept, rank < count)


@pytest.mark.parametrize("mass", [1e-6, 0.3, 0.9, 1.0])
def test_top_p_keeps_the_smallest_set_that_holds_the_mass(logits, mass):
  kept = _kept(sampling.keep_top_p(logits, mass))
  shares = np.asarray(jax.nn.softmax(logits), np.float64)
  for row, is_kept in zip(
    shares.reshape(-1, 30), kept.reshape(-1, 30), strict=True
  ):
    held = row[is_kept]
    # Sums of 30 float32 shares are right to about 30 x 2**-24.
    assert held.sum() >= mass - 2e-6
    assert held.sum() - held.min() < mass + 2e-6
    assert is_kept.all() or held.min() >= row[~is_kept].max()


def test_top_p_of_everything_drops_nothing(logits):
  np.testing.assert_array_equal(sampling.keep_top_p(logits, 1.0), logits)


def test_top_p_keeps_ties():
  logits = jnp.log(jnp.asarray([0.4, 0.2, 0.2, 0.1, 0.1]))
  kept = _kept(sampling.keep_top_p(logits, 0.5))
  np.testing.assert_array_equal(kept, [True, True, True, False, False])


def test_temperature_zero_takes_the_likeliest(logits):
  drawn = sampling.sample_logits(jax.random.key(0), logits, temperature=0.0)
  np.testing.assert_array_equal(drawn, np.argmax(logits, axis=-1))


def test_draws_follow_the_tempered_distribution():
  logits, count = jnp.asarray([0.0, 1.0, 2.0]), 20000
  rows = jnp.broadcast_to(logits, (count, 3))
  drawn = sampling.sample_logits(jax.random.key(1), rows, temperature=2.0)
  share = np.bincount(drawn, minlength=3) / count
  expected = np.exp(np.asarray(logits) / 2)
  expected /= expected.sum()
  deviation = np.sqrt(expected * (1 - expected) / count)
  assert np.all(np.abs(share - expected) < 5 * deviation)


def test_the_cut_acts_before_the_temperature():
  logits = jnp.log(jnp.asarray([0.6, 0.3, 0.1]))
  rows = jnp.broadcast_to(logits, (2000, 3))
  # At this temperature alone, all three are about as likely.
  drawn = sampling.sample_logits(
    jax.random.key(2), rows, temperature=100.0, top_p=0.8
  )
  assert set(np.unique(drawn)) == {0, 1}


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"top_k": 2, "top_p": 0.5}, "top_k=2 and top_p=0.5"),
    ({"top_k": 31}, "between 1 and 30"),
    ({"top_p": 0.0}, "top_p=0.0"),
  ],
)
def test_wrong_cuts_are_named(logits, options, message):
  with pytest.raises(ValueError, match=message):
    sampling.sample_logits(jax.random.key(0), logits, **options)
