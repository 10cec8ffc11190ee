"""Solids in random poses, and the rig that films them."""

import numpy as np

from data_gen import cameras, rotations
from data_gen.rays import Solid

SIZE = 128
RIG = cameras.make_default_rig(SIZE)
COLOR = np.array([1.0, 0.6, 0.3])
BLACK = np.zeros(3)


def make_solid(shape, seed, num_frames=4, size=3.0):
  rng = np.random.default_rng(seed)
  quaternions = np.stack(
    [rotations.random_quaternion(rng) for _ in range(num_frames)]
  )
  return Solid(
    shape=shape,
    size=size,
    trajectory=rng.uniform(-0.3, 0.3, (num_frames, 3)),
    rotations=rotations.matrix_from_quaternion(quaternions),
    color=COLOR,
  )
