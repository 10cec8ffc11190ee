"""The cameras of a scene: fixed, shaken, or drawn anew in each scene."""

import functools
import math

import numpy as np

from data_gen.rendering import cameras
from data_gen.rendering.cameras import Cameras
from data_gen.scenes import phyworld_laws
from data_gen.scenes.options import DatasetOptions

# Of random rigs: angle above the ground.
ELEVATIONS = (math.radians(10), math.radians(50))
OOD_ELEVATIONS = (math.radians(60), math.radians(75))
# Of other rigs in split ood_camera; rings turn by half a step.
OOD_TURN = math.radians(45)
# Two cameras are never nearer to each other, as seen from the origin, than
# this angle over the square root of their number.
_MIN_ANGLE = math.radians(40)


def is_drawn(options: DatasetOptions) -> bool:
  """Whether the cameras differ from scene to scene."""
  return isinstance(cameras.parse_rig(options.camera_rig), int) or any(
    (options.camera_jitter, options.target_jitter, options.focal_jitter)
  )


def make_rig(
  options: DatasetOptions, split: str, rng: np.random.Generator
) -> Cameras:
  """Returns the cameras of a scene.

  Args:
    options: Of the data set.
    split: ood_camera has other cameras than the rest.
    rng: Source of randomness; not used by a rig that is the same everywhere.
  """
  if options.is_flat:
    return _flat_rig(options)
  if not is_drawn(options):
    return _fixed_rig(
      options.camera_rig,
      split == "ood_camera",
      options.field_of_view,
      options.image_size,
    )
  positions = cameras.parse_rig(options.camera_rig)
  if isinstance(positions, int):
    elevations = OOD_ELEVATIONS if split == "ood_camera" else ELEVATIONS
    positions = _draw_positions(rng, positions, elevations)
  elif split == "ood_camera":
    positions = _ood_positions(options.camera_rig, positions)
  shape = positions.shape
  angle = math.radians(options.field_of_view)
  focal = 1 + options.focal_jitter * rng.uniform(-1, 1, shape[0])
  return cameras.make_rig(
    positions + options.camera_jitter * rng.uniform(-1, 1, shape),
    options.target_jitter * rng.uniform(-1, 1, shape),
    2 * np.arctan(math.tan(angle / 2) / focal),
    options.image_size,
  )


def shared_rig(options: DatasetOptions) -> Cameras | None:
  """Returns the rig of all scenes, before jitter; None if each has its own."""
  if options.is_flat:
    return _flat_rig(options)
  if isinstance(cameras.parse_rig(options.camera_rig), int):
    return None
  return _fixed_rig(
    options.camera_rig, False, options.field_of_view, options.image_size
  )


def _flat_rig(options: DatasetOptions) -> Cameras:
  if options.is_phyworld:
    return cameras.make_flat_rig(options.image_size, phyworld_laws.WORLD_WIDTH)
  return cameras.make_flat_rig(options.image_size)


@functools.lru_cache(maxsize=8)
def _fixed_rig(rig, is_ood, field_of_view, image_size) -> Cameras:
  positions = cameras.parse_rig(rig)
  if is_ood:
    positions = _ood_positions(rig, positions)
  return cameras.make_rig(
    positions,
    np.zeros(positions.shape),
    np.full(len(positions), math.radians(field_of_view)),
    image_size,
  )


def _ood_positions(rig, positions):
  angle = OOD_TURN
  if rig.startswith("ring:"):  # In the middle between its cameras.
    angle = math.pi / len(positions)
  cos, sin = math.cos(angle), math.sin(angle)
  turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
  return positions @ turn + np.array([0.0, 0.0, cameras.OOD_LIFT_M])


def _draw_positions(rng, count, elevations):
  """Draws positions (V, 3) that are not too near to each other."""
  least = _MIN_ANGLE / math.sqrt(count)
  directions: list[np.ndarray] = []
  while len(directions) < count:
    azimuth = rng.uniform(-math.pi, math.pi)
    elevation = rng.uniform(*elevations)
    direction = np.array(
      [
        math.cos(elevation) * math.cos(azimuth),
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
      ]
    )
    if all(direction @ other < math.cos(least) for other in directions):
      directions.append(direction)
  return np.stack(directions) * rng.uniform(
    *cameras.RANDOM_DISTANCES_M, (count, 1)
  )
