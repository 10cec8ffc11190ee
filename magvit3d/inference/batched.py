"""Applying a jitted function to many samples, a fixed-size batch at a time."""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.cli import interruption
from magvit3d.parallel import sharding


def map_batches(
  function: Callable[[dict[str, np.ndarray]], PyTree],
  arrays: Mapping[str, np.ndarray],
  batch_size: int,
  mesh: Mesh,
) -> PyTree:
  """Returns `function` of all samples, as NumPy arrays.

  Args:
    function: Takes a dict of arrays (batch_size, ...), gives a tree of such.
    arrays: (n, ...) each. The last batch is filled up with its last sample,
      so that one compilation serves all.
    batch_size: Divides over the devices of `mesh`.
    mesh: Devices; all their processes call this, with the same arrays.
  """
  count = len(next(iter(arrays.values())))
  results = []
  for start in range(0, count, batch_size):
    interruption.check()
    rows = np.minimum(np.arange(start, start + batch_size), count - 1)
    batch = {key: value[rows] for key, value in arrays.items()}
    result = sharding.fetch(function(sharding.shard_same_batch(batch, mesh)))
    used = min(batch_size, count - start)
    results.append(jax.tree.map(lambda x, n=used: np.asarray(x)[:n], result))
  return jax.tree.map(lambda *parts: np.concatenate(parts), *results)
