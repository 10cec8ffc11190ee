"""Paths that objects follow: line, circle, helix and parabola.

A path is drawn around a nominal one: its own parameters vary, then it is
scaled, turned about the z axis by any angle, shifted by up to 0.1 m along
each axis, and in half of the scenes run backwards. Frame i of T is at s =
i / (T - 1); speeds are relative to the nominal motion.
"""

import math

import numpy as np

MAX_SHIFT = 0.1  # Metres.
SPEED_RANGE = (0.75, 1.25)  # A helix of two turns keeps at least 1.5.
SAGITTA_RANGE = (0.11, 0.25)  # Metres.
BOUNDS = np.array([1.0, 1.0, 0.5])  # Largest |x|, |y|, |z|, metres.
NOISE_PROBABILITY = 0.8


def _linear(rng, s, speed):
  rise = 0.2 * rng.uniform(0.5, 1.5)
  along = speed * (s - 0.5)
  return np.stack([along, along, rise * (along + 0.5)], -1)


def _circular(rng, s, speed):
  radius = 0.3 * rng.uniform(0.8, 1.2)
  angle = 2 * math.pi * speed * s
  height = np.full_like(s, 0.1)
  return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)


def _helical(rng, s, speed):
  radius = 0.2 * rng.uniform(0.8, 1.2)
  rise = 0.3 * rng.uniform(0.7, 1.3)
  angle = 4 * math.pi * speed * s
  return np.stack(
    [radius * np.cos(angle), radius * np.sin(angle), rise * s], -1
  )


def _parabolic(rng, s, speed):
  sagitta = rng.uniform(*SAGITTA_RANGE)
  along = speed * (s - 0.5)
  return np.stack([0.5 * along, 0.3 * along, 4 * sagitta * (s - 0.5) ** 2], -1)


_PATHS = {
  "linear": _linear,
  "circular": _circular,
  "helical": _helical,
  "parabolic": _parabolic,
}


def draw_path(
  rng: np.random.Generator, motion: str, num_frames: int, scale: float
) -> np.ndarray:
  """Draws a path without noise.

  Args:
    rng: Source of randomness.
    motion: One of `schema.MOTIONS`.
    num_frames: T.
    scale: Multiplies the nominal path, before it is turned and shifted.

  Returns:
    Positions of the object's origin, (T, 3), metres.
  """
  s = np.arange(num_frames) / (num_frames - 1)
  path = scale * _PATHS[motion](rng, s, rng.uniform(*SPEED_RANGE))
  angle = rng.uniform(-math.pi, math.pi)
  cos, sin = math.cos(angle), math.sin(angle)
  path = path @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
  path = path + rng.uniform(-MAX_SHIFT, MAX_SHIFT, size=3)
  return path[::-1].copy() if rng.random() < 0.5 else path


def draw_noise(
  rng: np.random.Generator, num_frames: int, max_sigma: float
) -> np.ndarray:
  """Draws position noise (T, 3), metres; all zeros in a fifth of the scenes.

  The standard deviation is uniform between a third of `max_sigma` and
  `max_sigma`.
  """
  is_noisy = rng.random() < NOISE_PROBABILITY
  sigma = rng.uniform(max_sigma / 3, max_sigma) * is_noisy
  return sigma * rng.normal(size=(num_frames, 3))


def is_within_bounds(path: np.ndarray) -> bool:
  """Whether every position of a path (T, 3) lies within `BOUNDS`."""
  return bool((np.abs(path) <= BOUNDS).all())
