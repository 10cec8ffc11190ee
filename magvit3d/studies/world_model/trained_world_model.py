"""A trained world model as a user calls it, on NumPy arrays.

  from magvit3d.studies.world_model import WorldModel

  m = WorldModel.from_run("runs/world_model_tiny")
  clip, _ = m.example(0)
  going_on = m.rollout(clip[:10], [[1, 0], [1, 0], [0, -1]])

Clips are grey: uint8 in [0, 255] or floats in [0, 1], one (t, h, w) or a batch
(b, t, h, w). Wrong arguments raise `magvit3d.errors.UserError`.
"""

import functools
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from data_gen.errors import DataError
from data_gen.files import array_files, json_files, user_paths
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.inference import saved_state
from magvit3d.inference.action_rollouts import ActionRollouts
from magvit3d.inference.sampling import check_count, check_seed
from magvit3d.parallel import sharding
from magvit3d.parallel.number_types import in_own_types
from magvit3d.run.data import RunData
from magvit3d.run.digit_data import DigitData
from magvit3d.run.stages import Run
from magvit3d.studies.world_model.world_model_training import WorldModelTraining
from magvit3d.training.moving_average import averaged

# Axis and sign of a word.
_DIRECTIONS = {
  "right": (0, 1),
  "left": (0, -1),
  "down": (1, 1),
  "up": (1, -1),
  "away": (2, 1),
  "near": (2, -1),
}
_STAY = "stay"
_SPLITS = ("train", "validation", "test")


class WorldModel:
  """Clips that go on as actions say.

  Attributes:
    clip_shape: (t, h, w) of the clips it was trained on; t is the most frames
      that given and new ones may be together.
    axes: Where the numbers of an action point: right and down, and in scenes
      away, as the camera looks.
    unit: Theirs: 'px', and in scenes 'm'.
    step: Of a word of `parse_actions`.

  Args:
    training: Of a run of configs/world_model.py.
    params: That it trained.
    mesh: Devices.
    batch_size: Clips at a time; made a multiple of the number of devices. What
      becomes of a clip does not depend on how many others come with it.
  """

  def __init__(
    self,
    training: WorldModelTraining,
    params: PyTree,
    mesh: Mesh,
    *,
    batch_size: int = 8,
  ):
    check_count("batch_size", batch_size)
    self._data, self._params = training.data, params
    batch_size = sharding.divisible_batch_size(batch_size, mesh)
    self._rollouts = ActionRollouts(training.model, batch_size, mesh)
    self.clip_shape = self._data.clip_shape
    self.axes, self.unit = self._data.axes, self._data.unit
    self.step = self._data.action_scale

  @classmethod
  @in_own_types
  def from_run(
    cls, workdir: str | os.PathLike, *, batch_size: int = 8
  ) -> "WorldModel":
    """Takes the newest checkpoint of a run of configs/world_model.py.

    Nothing in the folder is changed, and its data need not be there.
    """
    folder = user_paths.read(workdir)
    config = _read_config(folder)
    data = (DigitData if config.digits else RunData)(config, folder)
    mesh = sharding.make_mesh()
    training = WorldModelTraining(
      Run(config=config, workdir=folder, mesh=mesh, data=data, stages=())
    )
    saved = saved_state.newest(folder, training.name)
    if saved is None:
      raise UserError(
        f"{folder} has no checkpoint of the world model: train it first, with "
        f"python -m magvit3d.main --workdir={folder}."
      )
    saved.check_identity(training.network_identity())
    opt_state = saved.restore(
      "opt_state",
      training.state_shapes().opt_state,
      sharding.replicated(mesh),
    )
    return cls(training, averaged(opt_state), mesh, batch_size=batch_size)

  @functools.cached_property
  def max_speed(self) -> float | None:
    """Largest action of its training, in a frame; None: its data are gone."""
    try:
      return self._data.max_action
    except DataError:
      return None

  def example(self, number: int, split: str = "test") -> tuple[np.ndarray, ...]:
    """Returns a clip of the run's data, uint8 (t, h, w), and actions (t, a)."""
    if split not in _SPLITS:
      raise UserError(
        f"split={split!r} is none; there are {', '.join(_SPLITS)}."
      )
    source = self._data.clips(split)
    if not 0 <= number < len(source):
      raise UserError(
        f"There is no clip {number}: the {split} split has 0 to "
        f"{len(source) - 1}."
      )
    clip = source[number]
    return clip["frames"], clip["actions"]

  @in_own_types
  def rollout(
    self,
    clips: np.ndarray,
    actions: np.ndarray | Sequence,
    *,
    past_actions: np.ndarray | Sequence | None = None,
    seed: int = 0,
  ) -> np.ndarray:
    """Returns clips with new frames, of the type and rank of `clips`.

    Args:
      clips: Given frames, (g, h, w) or (b, g, h, w).
      actions: Of each new frame, (f, a) or (b, f, a): by how much what is moved
        comes along each of `axes`, in `unit`; up to `max_speed`.
      past_actions: Of each given frame, (g, a) or (b, g, a); None: not known,
        and the model must tell by itself what is moved.
      seed: The same one makes the same frames.

    Raises:
      UserError: Shapes, types or values are not as above.
    """
    check_seed(seed)
    given = _as_batch("clips", np.asarray(clips), 4, "(g, h, w)")
    count, num_given, *size = given.shape
    if tuple(size) != self.clip_shape[1:] or num_given < 1 or not count:
      h, w = self.clip_shape[1:]
      raise UserError(
        f"clips have shape {np.shape(clips)}; the model knows frames of "
        f"{h} x {w} px: give (g, {h}, {w}) or (b, g, {h}, {w}), g and b 1 or "
        "more."
      )
    frames = _to_uint8(given)
    new = self._checked("actions", actions, count, self.max_speed)
    num_frames = num_given + new.shape[1]
    if num_frames > self.clip_shape[0]:
      raise UserError(
        f"{num_given} given frames and {new.shape[1]} actions are {num_frames} "
        f"frames, and the model knows clips of {self.clip_shape[0]}. Give "
        "fewer of either."
      )
    whole = np.zeros((count, *self.clip_shape), np.uint8)
    whole[:, :num_given] = frames
    all_actions = np.zeros(
      (count, self.clip_shape[0], len(self.axes)), np.float32
    )
    all_actions[:, num_given:num_frames] = new
    is_told = np.ones(all_actions.shape[:2], bool)
    is_told[:, :num_given] = past_actions is not None
    if past_actions is not None:
      past = self._checked("past_actions", past_actions, count)
      if past.shape[1] != num_given:
        raise UserError(
          f"past_actions are of {past.shape[1]} frames, and {num_given} are "
          "given: give one for each."
        )
      all_actions[:, :num_given] = past
    made = self._rollouts.roll_out(
      self._params, whole, all_actions, is_told, num_given, seed
    )[:, :num_frames]
    made[:, :num_given] = frames
    made = made if np.ndim(clips) == 4 else made[0]
    if given.dtype == np.uint8:
      return made
    return (made / np.float32(255)).astype(given.dtype)

  def _checked(self, name, actions, count, largest=None) -> np.ndarray:
    """Actions of all clips, float32 (b, n, a)."""
    try:
      array = np.asarray(actions)
    except ValueError as error:  # Rows of several lengths.
      raise UserError(f"{name} are no array of numbers ({error}).") from error
    if array.dtype.kind not in "iuf":
      raise UserError(f"{name} are of type {array.dtype}; give numbers.")
    size = len(self.axes)
    array = _as_batch(name, array, 3, f"(n, {size})").astype(np.float32)
    if array.shape[2] != size or len(array) not in (1, count) or not array.size:
      raise UserError(
        f"{name} have shape {np.shape(actions)}; give (n, {size}), or "
        f"({count}, n, {size}): {', '.join(self.axes)} of each frame, in "
        f"{self.unit}."
      )
    if not np.isfinite(array).all():
      raise UserError(f"{name} have values that are not finite.")
    if largest is not None and np.abs(array).max() > largest:
      raise UserError(
        f"{name} go up to {np.abs(array).max():g} {self.unit} a frame, and the "
        f"model has seen {largest:g} at most. Take smaller steps."
      )
    return np.broadcast_to(array, (count, *array.shape[1:]))


def parse_actions(text: str, step: float, num_axes: int = 2) -> np.ndarray:
  """Returns the actions (n, a) that a word list or a .npy file says.

  Args:
    text: Such as 'right,right,up'; or the path of an array.
    step: Of a word.
    num_axes: Numbers of an action, a.

  Raises:
    UserError: It is neither.
  """
  if text.endswith(".npy"):
    path = user_paths.read(text)
    try:
      return array_files.read_npy(pathlib.Path(path))
    except (OSError, ValueError) as error:
      raise UserError(f"--actions={text} cannot be read ({error}).") from error
  words = [word.strip() for word in text.split(",") if word.strip()]
  known = [w for w, (axis, _) in _DIRECTIONS.items() if axis < num_axes]
  known.append(_STAY)
  unknown = [word for word in words if word not in known]
  if unknown or not words:
    raise UserError(
      f"--actions={text!r}: {', '.join(unknown) or 'nothing'} is no action; "
      f"use {', '.join(known)}, with commas, or a file of NumPy (.npy)."
    )
  actions = np.zeros((len(words), num_axes), np.float32)
  for row, word in zip(actions, words, strict=True):
    if word != _STAY:
      axis, sign = _DIRECTIONS[word]
      row[axis] = sign * step
  return actions


def _read_config(folder: pathlib.Path) -> RunConfig:
  path = folder / "config.json"
  try:
    document = json_files.read(path)
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}): name the --workdir of a run of "
      "configs/world_model.py."
    ) from error
  config = RunConfig.from_dict(document)
  if config.study != "world_model":
    raise UserError(
      f"{folder} is no run of configs/world_model.py, whose model alone takes "
      "actions."
    )
  return config


def _as_batch(name, array, rank, single) -> np.ndarray:
  if array.ndim == rank - 1:
    return array[None]
  if array.ndim != rank:
    raise UserError(
      f"{name} have shape {array.shape}; give {single}, or several of these."
    )
  return array


def _to_uint8(clips: np.ndarray) -> np.ndarray:
  if clips.dtype == np.uint8:
    return clips
  is_float = np.issubdtype(clips.dtype, np.floating)
  if not is_float or not 0 <= clips.min() <= clips.max() <= 1:
    raise UserError(
      f"clips are of type {clips.dtype}: give uint8 in [0, 255], or floats in "
      "[0, 1]."
    )
  return np.round(clips * 255).astype(np.uint8)
