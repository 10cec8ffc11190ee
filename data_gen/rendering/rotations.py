"""Rotations as quaternions (w, x, y, z)."""

import numpy as np


def random_quaternion(rng: np.random.Generator) -> np.ndarray:
  """Draws a rotation uniformly; unit quaternion (4,) with w >= 0."""
  quaternion = rng.normal(size=4)
  quaternion /= np.linalg.norm(quaternion)
  return -quaternion if quaternion[0] < 0 else quaternion


def about_axis(axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
  """Returns rotations about one unit axis (3,).

  Args:
    axis: Unit vector.
    angles: (...), radians.

  Returns:
    Unit quaternions (..., 4).
  """
  half = np.asarray(angles)[..., None] / 2
  return np.concatenate([np.cos(half), np.sin(half) * axis], -1)


def multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns the rotation `second`, then `first`; quaternions (..., 4)."""
  w1, x1, y1, z1 = np.moveaxis(first, -1, 0)
  w2, x2, y2, z2 = np.moveaxis(second, -1, 0)
  return np.stack(
    [
      w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
      w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
      w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
      w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    ],
    -1,
  )


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
  """Turns unit quaternions (..., 4) into rotation matrices (..., 3, 3)."""
  w, x, y, z = np.moveaxis(np.asarray(quaternion, float), -1, 0)
  rows = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ]
  return np.stack([np.stack(row, -1) for row in rows], -2)
