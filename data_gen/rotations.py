"""Rotations as quaternions (w, x, y, z)."""

import numpy as np


def random_quaternion(rng: np.random.Generator) -> np.ndarray:
  """Draws a rotation uniformly; unit quaternion (4,) with w >= 0."""
  quaternion = rng.normal(size=4)
  quaternion /= np.linalg.norm(quaternion)
  return -quaternion if quaternion[0] < 0 else quaternion


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
  """Turns unit quaternions (..., 4) into rotation matrices (..., 3, 3)."""
  w, x, y, z = np.moveaxis(np.asarray(quaternion, float), -1, 0)
  rows = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ]
  return np.stack([np.stack(row, -1) for row in rows], -2)
