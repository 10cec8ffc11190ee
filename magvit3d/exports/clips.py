"""Clips that a task makes, with all that is known of them."""

import dataclasses
import pathlib

import numpy as np

from data_gen.files import json_files, user_paths
from data_gen.scenes import rigs
from data_gen.scenes.options import DatasetOptions
from magvit3d.api import Magvit
from magvit3d.errors import UserError, as_user_errors
from magvit3d.exports import real_clips
from magvit3d.exports.clip_files import Generated
from magvit3d.exports.real_clips import ClipCameras, RealClips
from magvit3d.inference import user_scenes, user_videos
from magvit3d.inference.camera_rigs import Rig, check_given_views
from magvit3d.models.cameras import Cameras
from magvit3d.tokens.tasks import Task


@dataclasses.dataclass(frozen=True)
class Choices:
  """What a user may choose besides task, number and seed.

  Attributes:
    shape: Of the object, for full generation; None: any.
    motion: The same.
    camera_rig: As for `python -m data_gen`, for full generation of scenes;
      None: the run's own.
    data: Data set for tasks with a condition; None: there is none.
    split: Of the data set.
    given_frames: Of frame prediction; None: the trained number.
    given_views: Of tasks that give views; None: the first ones, as many as
      trained.
  """

  shape: str | None = None
  motion: str | None = None
  camera_rig: str | None = None
  data: pathlib.Path | None = None
  split: str = "test"
  given_frames: int | None = None
  given_views: tuple[int, ...] | None = None


def data_folder(
  run: pathlib.Path, given: pathlib.Path | None
) -> pathlib.Path | None:
  """Returns where the clips for a run's tasks are; None if nowhere known."""
  if given:
    return given
  try:
    document = json_files.read(run / "config.json")
  except (OSError, json_files.JsonError):
    return None
  data = document.get("data")
  if not isinstance(data, dict):  # A folder that save_pretrained wrote.
    return None
  named = data.get("data_dir")
  return user_paths.read(named if isinstance(named, str) else run / "data")


def make(
  magvit: Magvit, task: str, num: int, seed: int, choices: Choices
) -> Generated:
  """Makes clips, or scenes where the transformer has learnt those.

  Args:
    magvit: Networks.
    task: One that they have learnt.
    num: Clips, or scenes.
    seed: Of all draws.
    choices: The rest.

  Raises:
    UserError: Something of it cannot be.
    DataError: The data set is damaged.
  """
  if num < 1:
    raise UserError(f"--num={num} must be 1 or more.")
  index = magvit.sampler.index_of(task)
  _check_choices(magvit, index, choices)
  if magvit.trained.model.tasks[index].is_conditional:
    return _from_real(magvit, index, num, seed, choices)
  return _from_nothing(magvit, index, num, seed, choices)


def _check_choices(magvit: Magvit, index: int, choices: Choices) -> None:
  task = magvit.trained.model.tasks[index]
  if task.is_conditional and (choices.shape or choices.motion):
    raise UserError(
      f"--shape and --motion are for full generation; --task={task.name} takes "
      "the classes of real clips."
    )
  is_from_nothing = magvit.trained.sees_views and not task.is_conditional
  if choices.camera_rig is not None and not is_from_nothing:
    raise UserError(
      "--camera_rig is for full generation by a run of "
      "configs/traj3d_multiview.py, which sees scenes with their cameras."
    )
  condition = task.condition
  is_prediction = condition is not None and condition.kind == "frame_prediction"
  given, total = choices.given_frames, magvit.clip_shape[0]
  if given is not None and not is_prediction:
    raise UserError(f"--given_frames is for frame prediction, not {task.name}.")
  if given is not None and not 0 < given < total:
    raise UserError(
      f"--given_frames={given} must be from 1 to {total - 1}, as clips have "
      f"{total} frames."
    )
  if choices.given_views is not None and not task.num_given_views:
    raise UserError(
      f"--given_views is for tasks that give whole views, not {task.name}."
    )


def _from_nothing(magvit, index, num, seed, choices) -> Generated:
  sampler, task = magvit.sampler, magvit.task_names[index]
  if sampler.needs_class(index):
    labels = magvit.choose_labels(choices.shape, choices.motion, num, seed)
    captions = [magvit.class_names[label] for label in labels]
  elif choices.shape or choices.motion:
    raise UserError(
      f"--task={task} is told no class, so --shape and --motion cannot be "
      "chosen."
    )
  else:
    labels = np.full(num, sampler.no_class, np.int32)
    captions = [f"clip {number}" for number in range(num)]
  rig = _rig(magvit, choices.camera_rig)
  if rig is None:
    tokens = sampler.sample(index, None, labels, seed).tokens
    return Generated(
      task, _clips_of(magvit, tokens), tokens, labels, tuple(captions)
    )
  cameras = rig.of_scenes(num)
  tokens = sampler.sample(index, None, labels, seed, cameras=cameras).tokens
  v = rig.num_views
  return Generated(
    task,
    _clips_of(magvit, tokens),
    tokens,
    np.repeat(labels, v),
    tuple(f"{c}, camera {view}" for c in captions for view in range(v)),
    num_views=v,
    cameras=ClipCameras(
      np.repeat(np.arange(num, dtype=np.int32), v),
      cameras.views.reshape(-1),
      cameras.intrinsics.reshape(-1, 3, 3),
      cameras.camera_from_world.reshape(-1, 3, 4),
    ),
  )


def _rig(magvit: Magvit, camera_rig: str | None) -> Rig | None:
  """Cameras of the scenes to make; None for single clips."""
  if not magvit.trained.sees_views or camera_rig is None:
    return user_scenes.read_rig_of(magvit.trained, None)
  data = magvit.trained.data or {}
  lens = {name: data[name] for name in ("field_of_view",) if name in data}
  with as_user_errors(ValueError):
    options = DatasetOptions(
      camera_rig=camera_rig, image_size=magvit.trained.image_size, **lens
    )
  cameras = rigs.make_rig(options, "test", np.random.default_rng(0))
  return user_scenes.read_rig_of(magvit.trained, cameras)


def _from_real(magvit, index, num, seed, choices) -> Generated:
  trained, sampler = magvit.trained, magvit.sampler
  task = trained.model.tasks[index]
  real = _load(magvit, task.name, num, choices)
  if sampler.needs_class(index) and sampler.no_class in real.labels:
    raise UserError(
      f"--task={task.name} is told the class, and {choices.data} has classes "
      f"that the run does not know. It knows {', '.join(trained.class_names)}."
    )
  v = trained.model.num_views
  given_views = _given_views(task, v, choices.given_views)
  clips = real.frames.astype(np.float32) / np.float32(255)
  sample = sampler.sample(
    index,
    clips,
    real.labels[::v],
    seed,
    choices.given_frames,
    _scene_cameras(real.cameras, v) if trained.sees_views else None,
    given_views,
  )
  captions = real.captions
  if trained.sees_views:
    views = real.cameras.cameras
    captions = tuple(
      f"{caption}, camera {view}"
      for caption, view in zip(captions, views, strict=True)
    )
  return Generated(
    task.name,
    _clips_of(magvit, sample.tokens),
    sample.tokens,
    real.labels,
    captions,
    v,
    real.cameras,
    real.frames,
    user_videos.to_pixels(sample.shown, np.uint8),
    _given_frames(task, clips.shape, v, given_views, choices.given_frames),
  )


def _load(magvit, task, num, choices) -> RealClips:
  """The real clips, or all clips of the scenes, that a task is shown."""
  if choices.data is None:
    raise UserError(
      f"--task={task} is shown a part of real clips: name a data set by --data."
    )
  trained = magvit.trained
  source = real_clips.open_clips(choices.data, choices.split, trained)
  if not len(source):
    raise UserError(
      f"Split {choices.split!r} of {choices.data} is empty. Name another one "
      "by --split."
    )
  names = magvit.class_names
  if not trained.sees_views:
    return real_clips.load(source, num, names)
  return real_clips.load_scenes(source, num, trained.model.num_views, names)


def _given_views(
  task: Task, num_views: int, chosen: tuple[int, ...] | None
) -> tuple[int, ...]:
  if not task.num_given_views:
    return ()
  if chosen is None:
    return tuple(range(task.num_given_views))
  return check_given_views(chosen, num_views)


def _given_frames(
  task, clip_shape, num_views, given_views, given_frames
) -> np.ndarray | None:
  """Frames of each clip that are given from the first on; None for regions."""
  b, t = clip_shape[:2]
  if task.condition is None:
    count = 0
  elif task.condition.kind == "frame_prediction":
    count = given_frames or task.condition.cond_frames
  else:
    return None
  found = np.full((b // num_views, num_views), count)
  found[:, list(given_views)] = t
  return found.reshape(-1)


def _scene_cameras(found: ClipCameras, num_views: int) -> Cameras:
  return Cameras(
    views=found.cameras.reshape(-1, num_views),
    intrinsics=found.intrinsics.reshape(-1, num_views, 3, 3),
    camera_from_world=found.camera_from_world.reshape(-1, num_views, 3, 4),
  )


def _clips_of(magvit: Magvit, tokens: np.ndarray) -> np.ndarray:
  clips = magvit.networks.decode(tokens)
  return user_videos.to_pixels(clips, np.uint8)
