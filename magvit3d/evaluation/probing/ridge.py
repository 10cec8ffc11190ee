"""Ridge regression from many features and few samples."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

# Of the mean of the kernel's diagonal.
STRENGTHS = tuple(10.0**power for power in range(-6, 3))
_FEATURES_AT_A_TIME = 16_384


class Ridge:
  """A linear map of centred features, solved in the space of the samples.

  Minimises |y - w x|^2 + s |w|^2; the strength s is the one of STRENGTHS, times
  the mean squared length of the centred features, that errs least on
  validation samples.

  Args:
    features: Of the training samples.
    targets: Likewise; of classes, 1 in the right column and 0 elsewhere.
    validation_features: To choose the strength by.
    validation_targets: Likewise.

  Attributes:
    strength: The chosen one of STRENGTHS.
  """

  def __init__(
    self,
    features: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, "n k"],
    validation_features: Float[np.ndarray, "m d"],
    validation_targets: Float[np.ndarray, "m k"],
  ):
    self._features = features
    self._mean_target = targets.mean(0)
    kernel = _products(features, features)
    # Of centred features: rows and columns lose their means.
    self._row_means = kernel.mean(1)
    self._mean = kernel.mean()
    centred = kernel - self._row_means - self._row_means[:, None] + self._mean
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0)
    scale = float(values.mean()) or 1.0  # Of features that do not vary.
    rotated = vectors.T @ (targets - self._mean_target)
    seen = self._centred_products(validation_features) @ vectors
    errors = []
    for strength in STRENGTHS:
      weights = rotated / (values + strength * scale)[:, None]
      guess = seen @ weights + self._mean_target
      errors.append(np.mean((guess - validation_targets) ** 2))
    best = int(np.argmin(errors))
    self.strength = STRENGTHS[best]
    weights = rotated / (values + self.strength * scale)[:, None]
    self._weights = vectors @ weights

  def __call__(
    self, features: Float[np.ndarray, "m d"]
  ) -> Float[np.ndarray, "m k"]:
    """Returns the targets that features tell."""
    return self._centred_products(features) @ self._weights + self._mean_target

  def _centred_products(self, features) -> np.ndarray:
    kernel = _products(features, self._features)
    own_means = kernel.mean(1, keepdims=True)
    return kernel - own_means - self._row_means + self._mean


def _products(a, b) -> Float[np.ndarray, "n m"]:
  """a @ b.T in float32, summed in float64 over blocks of features."""
  total = np.zeros((len(a), len(b)))
  for columns in _blocks(a.shape[1]):
    left = a[:, columns].astype(np.float32)
    total += left @ b[:, columns].astype(np.float32).T
  return total


def _blocks(count: int) -> Iterator[slice]:
  for start in range(0, count, _FEATURES_AT_A_TIME):
    yield slice(start, start + _FEATURES_AT_A_TIME)
