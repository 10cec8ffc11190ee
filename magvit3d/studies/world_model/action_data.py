"""Clips with actions, of digits or of scenes, as one kind of data."""

import dataclasses
import functools
from typing import Any, SupportsIndex

import numpy as np

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.moving_cameras import MAX_SPEED_M
from magvit3d.config.world_model import CAMERA
from magvit3d.errors import UserError
from magvit3d.run.data import RunData
from magvit3d.run.digit_data import DigitData
from magvit3d.run.stages import Run

# Metres; of most steps of objects the networks read less than 1.
_OBJECT_SCALE_M = 0.1


@dataclasses.dataclass(frozen=True)
class ActionClips:
  """Clips of scenes in grey, and what moved in them.

  Attributes:
    scenes: Where they come from.
    key: Feature whose steps are the actions: a path, (t, 3), metres.
    has_all_views: Whether there is every camera's clip of every scene; else
      one of each, of one camera after the other: such clips tell nothing of
      each other.
  """

  scenes: SceneSource
  key: str
  has_all_views: bool

  def __len__(self) -> int:
    return len(self.scenes) * (
      self.scenes.num_views if self.has_all_views else 1
    )

  def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
    """Returns a clip.

    Returns:
      frames: Uint8 (t, h, w), the largest of red, green and blue, in which
      each colour is seen.
      actions: Float32 (t, 3): the step since the frame before, metres to the
      right, down and away as the camera looks; 0 in the first.
    """
    number = int(index)
    view = number % self.scenes.num_views
    if self.has_all_views:
      number //= self.scenes.num_views
    keys = (schema.FRAMES, schema.CAMERA_FROM_WORLD, self.key)
    scene = self.scenes.views(number, [view], keys)
    steps = _steps(scene[self.key])
    turn = scene[schema.CAMERA_FROM_WORLD][0, :, :3]
    return {
      "frames": scene[schema.FRAMES][0].max(-1),
      "actions": (steps @ turn.T).astype(np.float32),
    }


class SceneActions:
  """Rendered scenes, whose object's or cameras' steps are the actions.

  It has what `DigitData` has for stages that train on actions.

  Attributes:
    axes: Where the numbers of an action point, in words.
    unit: Theirs.
    action_scale: What is 1 to the networks.
    clip_shape: (t, h, w).

  Args:
    data: Of the run.
    run: With `config.world_model`.
  """

  axes = ("right", "down", "away")
  unit = "m"

  def __init__(self, data: RunData, run: Run):
    self._data, self._config = data, run.config
    model = run.config.world_model
    assert model is not None
    self._action, self._split = model.action, model.split
    self._key, self.action_scale = schema.TRAJECTORY, _OBJECT_SCALE_M
    if model.action == CAMERA:
      self._key, self.action_scale = schema.CAMERA_PATH, MAX_SPEED_M
    self.clip_shape = data.clip_shape[:3]

  @functools.cached_property
  def max_action(self) -> float:
    """Longest step of a training scene, metres."""
    scenes, key = self.clips("train").scenes, self._key
    steps = [_steps(scenes.scene(i, [key])[key]) for i in range(len(scenes))]
    return float(np.linalg.norm(steps, axis=-1).max())

  def clips(self, split: str) -> ActionClips:
    """Returns the clips of a split.

    Raises:
      UserError: The cameras of the scenes do not move, and shall; or the path
        of the object is not known.
    """
    scenes = self._data.clips(split).scenes
    if self._key not in scenes.features:
      raise UserError(
        f"config.world_model.action={self._action!r}, but the cameras of the "
        f"scenes in {self._data.folder} stand still. Make others with python "
        "-m data_gen --moving_cameras, or leave config.data.data_dir out."
      )
    if not scenes.shape_names:
      self._check_tracks()
    return ActionClips(scenes, self._key, has_all_views=split == "train")

  def _check_tracks(self) -> None:
    """Raises UserError unless all paths of footage are known, to the end.

    Those of the test split too, before anything is trained.
    """
    for split in dict.fromkeys(("train", "validation", self._split)):
      scenes = self._data.clips(split).scenes
      for index in range(len(scenes)):
        if np.isnan(scenes.scene(index, [self._key])[self._key]).any():
          raise UserError(
            f"config.world_model.action={self._action!r}, but scene {index} of "
            f"the {split} split in {self._data.folder} has frames whose track "
            "is unknown. Import footage whose recordings have whole tracks "
            "(docs/footage.md), or leave config.data.data_dir out."
          )

  def given_clips(self) -> None:
    """Returns None: the test split is scored."""
    return None

  def identity(self) -> dict[str, Any]:
    """Returns what the scenes were made with, and what the actions are."""
    return self._data.identity() | {"action": self._action}

  def num_train(self) -> int:
    """Returns the clips to train on, also where they are not made yet."""
    if self._data.is_given:
      return len(self.clips("train"))
    return self._config.data.num_train * self._data.num_cameras()


def action_data(run: Run) -> DigitData | SceneActions:
  """Returns the data of a run of configs/world_model.py."""
  if isinstance(run.data, DigitData):
    return run.data
  assert isinstance(run.data, RunData)
  return SceneActions(run.data, run)


def _steps(path: np.ndarray) -> np.ndarray:
  """From each place to the next, and 0 for the first."""
  return np.diff(path, axis=0, prepend=path[:1])
