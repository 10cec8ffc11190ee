"""Fixed-size batches give what one call on everything would."""

import jax
import numpy as np
import pytest

from magvit3d.inference.batched import map_batches
from magvit3d.parallel import sharding


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_results_are_those_of_each_sample(count):
  shapes = set()

  def function(batch):
    shapes.add(batch["x"].shape)
    return {"sum": batch["x"].sum(axis=1), "twice": 2 * batch["x"]}

  x = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
  found = map_batches(function, {"x": x}, 4, sharding.make_mesh())
  np.testing.assert_array_equal(found["sum"], x.sum(axis=1))
  np.testing.assert_array_equal(found["twice"], 2 * x)
  assert shapes == {(4, 3)}  # One compilation serves all.
  assert isinstance(jax.tree.leaves(found)[0], np.ndarray)
