"""The Frechet distance of Gaussians that are fitted to two sets of features.

  |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)),

with means m and covariances S that are divided by n - 1. On the logits of an
action recogniser it is the Frechet video distance (Unterthiner et al.,
https://arxiv.org/abs/1812.01717). Name it after its network: distances on
different features have nothing in common.

With few samples it comes out too large, and is not zero for two sets of the
same source: compare only distances of the same n.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

MIN_SAMPLES = 2  # Of a covariance.


@dataclasses.dataclass(frozen=True)
class FrechetDistance:
  """A distance and what it was computed from.

  Attributes:
    value: At least 0, in squared units of the features.
    num_real: Samples of the first set.
    num_generated: Samples of the second set.
    width: Features of a sample.
  """

  value: float
  num_real: int
  num_generated: int
  width: int

  @property
  def note(self) -> str:
    """What to know about its bias; empty where n is above the width."""
    count = min(self.num_real, self.num_generated)
    if count > self.width:
      return ""
    return (
      f"Biased: {count} samples do not determine the covariance of "
      f"{self.width} features, and the distance comes out too large. Compare "
      "it only with distances of the same n."
    )


def frechet_distance(
  real: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m d"]
) -> FrechetDistance:
  """Returns the distance of two sets of features, computed in float64.

  Args:
    real: A row for each sample, 2 or more.
    generated: The same; the order of the two sets does not matter.

  Raises:
    ValueError: A set has fewer than 2 samples, or a feature is not finite.
  """
  for name, rows in (("real", real), ("generated", generated)):
    if len(rows) < MIN_SAMPLES:
      raise ValueError(
        f"The {name} set has {len(rows)} samples; a covariance needs "
        f"{MIN_SAMPLES} or more."
      )
    if not np.all(np.isfinite(rows)):
      raise ValueError(f"The {name} set has features that are not finite.")
  root, other_root = _covariance_root(real), _covariance_root(generated)
  shift = np.mean(real, 0, np.float64) - np.mean(generated, 0, np.float64)
  # S = R'R and S' = Q'Q: the eigenvalues of S S' other than 0 are those of
  # (Q R')(Q R')', so the trace of its root is a sum of singular values. No
  # covariance is formed, which would square the rounding errors.
  overlap = np.linalg.svd(other_root @ root.T, compute_uv=False).sum()
  value = (
    np.sum(shift**2) + np.sum(root**2) + np.sum(other_root**2) - 2 * overlap
  )
  return FrechetDistance(
    max(float(value), 0.0), len(real), len(generated), real.shape[1]
  )


def _covariance_root(
  rows: Float[np.ndarray, "n d"],
) -> Float[np.ndarray, "k d"]:
  """Returns R with R'R the covariance; k is the smaller of n and d."""
  rows = rows.astype(np.float64)
  centred = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
  return np.linalg.qr(centred, mode="r")
