"""Objects of a scene: drawn one by one, so that each can be seen."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data_gen import schema
from data_gen.rendering import colors, ground, rotations, solids
from data_gen.rendering.rays import Solid
from data_gen.scenes import motions
from data_gen.scenes.options import DatasetOptions

MAX_TRANSIENT_FRAMES = 3


@dataclasses.dataclass(frozen=True)
class SceneObject:
  """An object and its labels.

  Attributes:
    shape: Label.
    motion: Label; `schema.STILL` for an object that stands still.
    is_transient: Whether it is there for a few frames only.
    clean: Path before the noise, (T, 3), metres.
    orientation: Quaternions wxyz, (T, 4).
    solid: The rest.
  """

  shape: int
  motion: int
  is_transient: bool
  clean: np.ndarray
  orientation: np.ndarray
  solid: Solid

  @property
  def is_moving(self) -> bool:
    """Whether it is one that has to be seen in all frames."""
    return self.motion != schema.STILL and not self.is_transient


@dataclasses.dataclass(frozen=True)
class Looks:
  """What an object is, wherever it is.

  Attributes:
    shape: Label.
    motion: Label; `schema.STILL` for an object that stands still.
    size: Scale.
    color: RGB, (3,).
  """

  shape: int
  motion: int
  size: float
  color: np.ndarray


def draw_pose(
  rng: np.random.Generator,
  options: DatasetOptions,
  motion: str,
  *,
  is_ood_speed: bool = False,
  is_beside: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws path without and with noise (T, 3), and orientations (T, 4).

  Args:
    rng: Source of randomness.
    options: Of the data set.
    motion: Its name.
    is_ood_speed: Whether the speed is out of the usual range.
    is_beside: Whether it is for an object beside the main one.
  """
  scale = rng.uniform(options.path_scale_min, options.path_scale_max)
  clean = motions.draw_path(
    rng,
    motion,
    options.num_frames,
    scale,
    preset=options.preset,
    is_ood_speed=is_ood_speed,
    max_shift=motions.MAX_SHIFT_BESIDE if is_beside else motions.MAX_SHIFT,
  )
  noise = motions.draw_noise(
    rng, options.num_frames, options.position_noise, options.preset
  )
  return clean, as_stored(clean + noise), _draw_orientation(rng, options)


def draw_still_pose(
  rng: np.random.Generator, options: DatasetOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws the same for an object that stands still."""
  place = motions.draw_place(rng, options.preset)
  path = np.tile(place, (options.num_frames, 1))
  still = dataclasses.replace(options, spin=0.0)
  return path, as_stored(path), _draw_orientation(rng, still)


def draw_lifetime(rng: np.random.Generator, num_frames: int) -> tuple[int, int]:
  """Draws first and last frame of a transient object."""
  length = int(rng.integers(1, MAX_TRANSIENT_FRAMES + 1))
  first = int(rng.integers(0, num_frames - length + 1))
  return first, first + length - 1


def draw_size(rng: np.random.Generator, options: DatasetOptions) -> float:
  """Draws a scale."""
  return float(np.float32(rng.uniform(options.size_min, options.size_max)))


def draw_color(
  rng: np.random.Generator,
  options: DatasetOptions,
  shape: int,
  backgrounds: np.ndarray,
) -> np.ndarray:
  """Draws a colour (3,) that differs from all `backgrounds` (B, 3)."""
  if options.color_by_shape:
    return as_stored(colors.SHAPE_COLORS[shape])
  return as_stored(colors.draw_color(rng, backgrounds, options.num_colors))


def is_placed_well(solid: Solid, options: DatasetOptions) -> bool:
  """Whether a solid stays within bounds and above the ground."""
  path = solid.trajectory[solid.is_there]
  if not motions.is_within_bounds(path, options.preset):
    return False
  return not options.ground_plane or ground.is_above(solid)


def do_touch(solid: Solid, other: Solid) -> bool:
  """Whether one solid is in the other in a frame with both.

  Tested with points of surface and axis, so slivers may escape. Flat figures
  have no inside: they never touch.
  """
  together = solid.is_there & other.is_there
  reach = sum(
    s.size * np.linalg.norm(solids.outline_points(s.shape), axis=-1).max()
    for s in (solid, other)
  )
  gap = np.linalg.norm(solid.trajectory - other.trajectory, axis=-1)
  together &= gap <= reach
  if not together.any() or solid.shape in schema.PRESETS["traj2d"].shapes:
    return False
  return any(
    _is_in(a, b, together) for a, b in ((solid, other), (other, solid))
  )


def _is_in(inner: Solid, outer: Solid, times: np.ndarray) -> bool:
  points = inner.to_world(solids.inner_points(inner.shape))[times]
  local = np.einsum(
    "tji,tnj->tni",
    outer.rotations[times],
    points - outer.trajectory[times, None],
  )
  return bool(solids.contains(outer.shape, local / outer.size).any())


def draw_until(
  draw: Callable[[], SceneObject],
  is_good: Callable[[SceneObject], bool],
  max_tries: int,
) -> SceneObject | None:
  """Returns the first good object of at most `max_tries`, else None."""
  for _ in range(max_tries):
    found = draw()
    if is_good(found):
      return found
  return None


def stack_labels(objects: Sequence[SceneObject]) -> dict[str, np.ndarray]:
  """Returns the features `objects/...` of a scene."""
  parts = [thing.solid for thing in objects]
  last = len(objects[0].clean) - 1
  return {
    schema.OBJECTS_SHAPE: np.array([thing.shape for thing in objects]),
    schema.OBJECTS_MOTION: np.array([thing.motion for thing in objects]),
    schema.OBJECTS_FIRST_FRAME: np.array([s.first_frame for s in parts]),
    schema.OBJECTS_LAST_FRAME: np.array(
      [last if s.last_frame is None else s.last_frame for s in parts]
    ),
    schema.OBJECTS_IS_TRANSIENT: np.array(
      [int(thing.is_transient) for thing in objects]
    ),
    schema.OBJECTS_SIZE: np.array([s.size for s in parts]),
    schema.OBJECTS_COLOR: np.stack([s.color for s in parts]),
    schema.OBJECTS_TRAJECTORY: np.stack([s.trajectory for s in parts]),
    schema.OBJECTS_ORIENTATION: np.stack([o.orientation for o in objects]),
  }


def as_stored(array: np.ndarray) -> np.ndarray:
  """Rounds to float32, so that records hold exactly what was rendered."""
  return np.asarray(array, np.float32).astype(np.float64)


def _draw_orientation(rng, options):
  """Draws orientations (T, 4): fixed, or turning evenly about a fixed axis."""
  times = np.arange(options.num_frames) / (options.num_frames - 1)
  if options.preset == "traj2d":
    axis = np.array([0.0, 0.0, 1.0])
    start = rotations.about_axis(axis, rng.uniform(-np.pi, np.pi))
  else:
    axis = None
    start = rotations.random_quaternion(rng)
  if not options.spin:
    return as_stored(np.tile(start, (options.num_frames, 1)))
  if axis is None:
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
  turns = options.spin * rng.uniform(-1, 1)
  spin = rotations.about_axis(axis, 2 * np.pi * turns * times)
  return as_stored(rotations.multiply(spin, start))
