"""Samples that repeat training data show; so do samples that are all alike."""

import numpy as np
import pytest

from magvit3d.evaluation.probing import token_distances


def _grids(seed, count):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 50, (count, 2, 3, 4))


def test_a_copy_of_training_data_is_at_no_distance(monkeypatch):
  monkeypatch.setattr(token_distances, "_PAIRS_AT_A_TIME", 3)
  known, grids = _grids(0, 10), _grids(1, 3)
  grids[1] = known[7]
  grids[2] = known[9]
  grids[2, 0, 0, 0] += 1
  found = token_distances.nearest(grids, known)
  by_hand = min((known[i] != grids[0]).mean() for i in range(10))
  assert found == pytest.approx([by_hand, 0, 1 / 24])


def test_spread_is_that_within_classes():
  alike = np.repeat(_grids(0, 2), 3, axis=0)
  labels = np.array([0, 0, 0, 1, 1, 1])
  assert token_distances.spread(alike, labels) == 0
  grids = _grids(0, 3)
  # Two of class 0; one alone of class 1 says nothing.
  found = token_distances.spread(grids, np.array([0, 1, 0]))
  assert found == pytest.approx((grids[0] != grids[2]).mean())
  assert token_distances.spread(grids, np.arange(3)) is None


def test_balanced_takes_as_many_of_each_class():
  labels = np.array([2, 0, 0, 2, 0, 1])
  found = token_distances.balanced(labels, 2, 4)
  assert found.tolist() == [1, 2, 5, 0, 3]
