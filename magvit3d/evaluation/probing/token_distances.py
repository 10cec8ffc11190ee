"""How different token grids are: whether samples vary, or repeat training data.

The distance of two grids is the share of their tokens that differ.
"""

import numpy as np
from jaxtyping import Float, Int

_PAIRS_AT_A_TIME = 4096


def nearest(
  grids: Int[np.ndarray, "n t h w"], known: Int[np.ndarray, "m t h w"]
) -> Float[np.ndarray, " n"]:
  """Returns the distance of each grid to the nearest one of `known`."""
  known = known.reshape(len(known), -1)
  found = []
  for grid in grids.reshape(len(grids), -1):
    parts = [
      (known[i : i + _PAIRS_AT_A_TIME] != grid).mean(1).min()
      for i in range(0, len(known), _PAIRS_AT_A_TIME)
    ]
    found.append(min(parts))
  return np.array(found)


def spread(
  grids: Int[np.ndarray, "n t h w"], labels: Int[np.ndarray, " n"]
) -> float | None:
  """Returns the mean distance of two grids of the same class.

  First over the pairs of each class, then over the classes that have some; None
  if none has.
  """
  means = []
  flat = grids.reshape(len(grids), -1)
  for label in np.unique(labels):
    of_class = flat[labels == label]
    first, second = np.triu_indices(len(of_class), k=1)
    if first.size:
      means.append(
        np.mean(
          [
            (of_class[i] != of_class[j]).mean()
            for i, j in zip(first, second, strict=True)
          ]
        )
      )
  return float(np.mean(means)) if means else None


def balanced(
  labels: Int[np.ndarray, " n"], count: int, num_classes: int
) -> Int[np.ndarray, " k"]:
  """Returns the first `count` places of each class, or all it has."""
  return np.concatenate(
    [np.flatnonzero(labels == label)[:count] for label in range(num_classes)]
  )
