"""Paths that objects follow: line, circle, helix, parabola and others.

A path is drawn around a nominal one: its own parameters vary, then it is
scaled, turned about the z axis by any angle, shifted by up to 0.1 m along
each axis (more for objects beside the main one), and in half of the scenes
run backwards. Frame i of T is at s = i / (T - 1); speeds are relative to the
nominal motion. Paths of flat figures stay in the plane z = 0.
"""

import math

import numpy as np

from data_gen import schema

MAX_SHIFT = 0.1  # Metres.
# Of objects beside the main one, which would else all meet in the middle.
MAX_SHIFT_BESIDE = np.array([0.6, 0.6, 0.25])
SPEED_RANGE = (0.75, 1.25)  # A helix of two turns keeps at least 1.5.
# Of split ood_speed: turning motions go faster, others slower, so that all
# stay in view.
OOD_SPEED_RANGES = {
  "circular": (1.4, 1.7),
  "helical": (1.4, 1.7),
  "sine": (1.4, 1.7),
}
OOD_SLOW_RANGE = (0.4, 0.6)
SAGITTA_RANGE = (0.11, 0.25)  # Metres.
# Largest |x|, |y|, |z|, metres.
BOUNDS = {
  "traj3d": np.array([1.0, 1.0, 0.5]),
  "traj2d": np.array([0.64, 0.64, 0.0]),
}
NOISE_PROBABILITY = 0.8
_NUM_WAVES = 3  # Of a random path, along each axis.


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


def _random(rng, s, speed):
  """Waves along each axis: up to `_NUM_WAVES` half periods at speed 1."""
  reach = np.array([0.5, 0.5, 0.2])
  path = np.zeros((len(s), 3))
  for wave in range(1, _NUM_WAVES + 1):
    amplitude = reach * rng.uniform(-1, 1, 3) / wave**1.5
    phase = rng.uniform(0, 2 * math.pi, 3)
    path += amplitude * np.sin(math.pi * wave * speed * s[:, None] + phase)
  return path


def _flat_linear(rng, s, speed):
  along = speed * (s - 0.5)
  slope = rng.uniform(-0.5, 0.5)
  return 0.8 * np.stack([along, slope * along, 0 * s], -1)


def _flat_circular(rng, s, speed):
  return _circular(rng, s, speed) * np.array([1.0, 1.0, 0.0])


def _flat_sine(rng, s, speed):
  amplitude = rng.uniform(0.12, 0.2)
  wave = np.sin(4 * math.pi * speed * s)
  return np.stack([0.8 * (s - 0.5), amplitude * wave, 0 * s], -1)


def _flat_parabolic(rng, s, speed):
  sagitta = rng.uniform(0.15, 0.3)
  height = 4 * sagitta * ((s - 0.5) ** 2 - 0.125)
  return np.stack([0.8 * speed * (s - 0.5), height, 0 * s], -1)


def _flat_random(rng, s, speed):
  return _random(rng, s, speed) * np.array([0.7, 0.7, 0.0])


_PATHS = {
  "traj3d": {
    "linear": _linear,
    "circular": _circular,
    "helical": _helical,
    "parabolic": _parabolic,
    schema.RANDOM: _random,
  },
  "traj2d": {
    "linear": _flat_linear,
    "circular": _flat_circular,
    "sine": _flat_sine,
    "parabolic": _flat_parabolic,
    schema.RANDOM: _flat_random,
  },
}


def draw_path(
  rng: np.random.Generator,
  motion: str,
  num_frames: int,
  scale: float,
  *,
  preset: str = "traj3d",
  is_ood_speed: bool = False,
  max_shift: float | np.ndarray = MAX_SHIFT,
) -> np.ndarray:
  """Draws a path without noise.

  Args:
    rng: Source of randomness.
    motion: One of those of the preset, or `schema.RANDOM`.
    num_frames: T.
    scale: Multiplies the nominal path, before it is turned and shifted.
    preset: Key of `schema.PRESETS`.
    is_ood_speed: Whether the speed is out of the usual range.
    max_shift: Largest shift along each axis, metres.

  Returns:
    Positions of the object's origin, (T, 3), metres.
  """
  s = np.arange(num_frames) / (num_frames - 1)
  speed_range = SPEED_RANGE
  if is_ood_speed:
    speed_range = OOD_SPEED_RANGES.get(motion, OOD_SLOW_RANGE)
  path = scale * _PATHS[preset][motion](rng, s, rng.uniform(*speed_range))
  angle = rng.uniform(-math.pi, math.pi)
  cos, sin = math.cos(angle), math.sin(angle)
  path = path @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
  shift = rng.uniform(-max_shift, max_shift, size=3)
  path = path + _in_space(preset, shift)
  return path[::-1].copy() if rng.random() < 0.5 else path


def draw_noise(
  rng: np.random.Generator,
  num_frames: int,
  max_sigma: float,
  preset: str = "traj3d",
) -> np.ndarray:
  """Draws position noise (T, 3), metres; all zeros in a fifth of the scenes.

  The standard deviation is uniform between a third of `max_sigma` and
  `max_sigma`.
  """
  is_noisy = rng.random() < NOISE_PROBABILITY
  sigma = rng.uniform(max_sigma / 3, max_sigma) * is_noisy
  return _in_space(preset, sigma * rng.normal(size=(num_frames, 3)))


def draw_place(rng: np.random.Generator, preset: str = "traj3d") -> np.ndarray:
  """Draws where an object stands still, (3,), metres."""
  return rng.uniform(-0.7, 0.7, 3) * BOUNDS[preset]


def is_within_bounds(path: np.ndarray, preset: str = "traj3d") -> bool:
  """Whether every position of a path (T, 3) lies within `BOUNDS`."""
  return bool((np.abs(path) <= BOUNDS[preset]).all())


def _in_space(preset, vectors):
  """Leaves out the third axis for flat figures."""
  return vectors * np.array([1.0, 1.0, float(preset == "traj3d")])
