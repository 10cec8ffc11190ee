"""Tests of codebook starts and resets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.training import codebook


@pytest.mark.parametrize("seed", range(3))
def test_spread_rows_are_features_and_cover_separate_clusters(seed):
  rng = np.random.default_rng(seed)
  centres = 100 * np.eye(6)
  # One cluster has nearly all features: drawing evenly would miss the others.
  member = np.concatenate([np.zeros(500, int), np.arange(1, 6)])
  features = centres[member] + 0.01 * rng.normal(size=(505, 6))
  features = jnp.asarray(features, jnp.float32)
  rows = np.asarray(codebook.spread_rows(jax.random.key(seed), features, 6))
  is_same = np.all(rows[:, None] == np.asarray(features)[None], axis=-1)
  assert np.all(is_same.any(axis=1))
  assert set(member[is_same.argmax(axis=1)]) == set(range(6))


def test_only_dead_rows_move_and_they_move_to_bad_features():
  rows = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
  counts = jnp.asarray([3, 0, 1, 0, 9])
  far = jnp.full((2, 3), 50.0)
  features = jnp.concatenate([jnp.repeat(rows, 20, axis=0), far])
  moved, num_dead = codebook.replace_dead_rows(
    jax.random.key(0), rows, counts, features
  )
  assert num_dead == 2
  np.testing.assert_array_equal(moved[counts > 0], rows[counts > 0])
  np.testing.assert_array_equal(moved[counts == 0], 50.0)


def test_without_dead_rows_the_codebook_stays():
  rows = jnp.arange(6.0).reshape(3, 2)
  moved, num_dead = codebook.replace_dead_rows(
    jax.random.key(0), rows, jnp.ones(3, int), rows + 1
  )
  np.testing.assert_array_equal(moved, rows)
  assert num_dead == 0
