"""Comparing trees of arrays."""

import jax
import numpy as np


def assert_trees_equal(got, expected):
  assert jax.tree.structure(got) == jax.tree.structure(expected)
  leaves = zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
  for a, b in leaves:
    np.testing.assert_array_equal(a, b)
