"""Scenes that are filmed in passing: all cameras move together, and never turn.

Light and solids stand where they stood; a camera that has moved by d sees of
them what one at rest sees of solids that have moved by -d. So nothing but the
solids' paths changes: paths are told as seen from the cameras, which rest in
`camera_from_world`, and `camera_path` tells how the cameras moved.
"""

import dataclasses
import functools

import numpy as np

from data_gen import schema
from data_gen.rendering.cameras import Cameras
from data_gen.scenes import objects, scenes
from data_gen.scenes.flag_checks import check_settled
from data_gen.scenes.objects import SceneObject
from data_gen.scenes.options import DatasetOptions

MAX_SPEED_M = 0.06  # Of the cameras along each axis, in a frame.
MAX_REACH_M = 0.35  # From where they were first, along each axis.
TURN_RATE = 0.2  # Chance of a new velocity, each frame.
_STREAM = 7  # Last word of the seeds; see `scenes`.


@dataclasses.dataclass(frozen=True)
class MovingCameraOptions(DatasetOptions):
  """Options of such scenes: solids before plain colour.

  Raises:
    ValueError: A value is out of range; the message names the flag.
  """

  has_camera_path = True

  def __post_init__(self):
    super().__post_init__()
    wanted = {"preset": "traj3d", "ground_plane": False}
    check_settled("moving_cameras", self, wanted)

  def arguments(self) -> dict[str, int | float | bool | str]:
    """Returns the options that determine the records, as for JSON."""
    return super().arguments() | {"moving_cameras": True}


def draw_path(rng: np.random.Generator, num_frames: int) -> np.ndarray:
  """Returns how far cameras have moved since the first frame, float32 (t, 3).

  Velocities are drawn anew at random times, and turn back where they would lead
  farther than `MAX_REACH_M`. Metres, along the axes of the world.
  """
  place, path = np.zeros(3), [np.zeros(3)]
  velocity = rng.uniform(-MAX_SPEED_M, MAX_SPEED_M, 3)
  for _ in range(num_frames - 1):
    if rng.random() < TURN_RATE:
      velocity = rng.uniform(-MAX_SPEED_M, MAX_SPEED_M, 3)
    is_too_far = np.abs(place + velocity) > MAX_REACH_M
    velocity = np.where(is_too_far, -velocity, velocity)
    place = place + velocity
    path.append(place)
  return objects.as_stored(np.stack(path))


class MovingCameraMaker(scenes.SceneMaker):
  """Draws one scene; see `scenes.make_scene`."""

  @functools.cached_property
  def camera_path(self) -> np.ndarray:
    """Of the scene's cameras; see `draw_path`."""
    return draw_path(self.rng(_STREAM), self.options.num_frames)

  def make_object(self, shape, motion, size, color, pose, **lifetime):
    """Returns the object on its path as the cameras see it."""
    clean, path, orientation = pose
    seen = objects.as_stored(path - self.camera_path)
    pose = clean - self.camera_path, seen, orientation
    return super().make_object(shape, motion, size, color, pose, **lifetime)

  def labels(self, main: SceneObject, rig: Cameras) -> dict:
    """Returns what is known of the scene, the cameras' path too."""
    path = {schema.CAMERA_PATH: self.camera_path}
    return super().labels(main, rig) | path
