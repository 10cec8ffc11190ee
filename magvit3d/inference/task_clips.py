"""Clips that a task makes, with all that is known of them."""

import dataclasses
import json
import pathlib

import numpy as np

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.inference import real_clips, video_arrays
from magvit3d.inference.generated_files import Generated


@dataclasses.dataclass(frozen=True)
class Choices:
  """What a user may choose besides task, number and seed.

  Attributes:
    shape: Of the object, for full generation; None: any.
    motion: The same.
    data: Data set for tasks with a condition; None: there is none.
    split: Of the data set.
    given_frames: Of frame prediction; None: the trained number.
  """

  shape: str | None = None
  motion: str | None = None
  data: pathlib.Path | None = None
  split: str = "test"
  given_frames: int | None = None


def data_folder(
  run: pathlib.Path, given: pathlib.Path | None
) -> pathlib.Path | None:
  """Returns where the clips for a run's tasks are; None if nowhere known."""
  if given:
    return given
  try:
    config = json.loads((run / "config.json").read_text())
  except (OSError, ValueError):
    return None
  if "data" not in config:  # A folder that save_pretrained wrote.
    return None
  return pathlib.Path(config["data"]["data_dir"] or run / "data")


def make(
  magvit: Magvit, task: str, num: int, seed: int, choices: Choices
) -> Generated:
  """Makes clips.

  Args:
    magvit: Networks.
    task: One that they have learnt.
    num: Clips.
    seed: Of all draws.
    choices: The rest.

  Raises:
    UserError: Something of it cannot be.
    DataError: The data set is damaged.
  """
  if num < 1:
    raise UserError(f"--num={num} must be 1 or more.")
  index = magvit.sampler.index_of(task)
  condition = magvit.trained.model.tasks[index].condition
  _check_choices(task, condition, choices)
  if condition is None:
    return _from_nothing(magvit, task, num, seed, choices)
  return _from_real(magvit, task, num, seed, choices)


def _check_choices(task, condition, choices: Choices) -> None:
  if condition is not None and (choices.shape or choices.motion):
    raise UserError(
      f"--shape and --motion are for full generation; --task={task} takes the "
      "classes of real clips."
    )
  is_prediction = condition is not None and condition.kind == "frame_prediction"
  if choices.given_frames is not None and not is_prediction:
    raise UserError(f"--given_frames is for frame prediction, not {task}.")


def _from_nothing(magvit, task, num, seed, choices) -> Generated:
  sampler = magvit.sampler
  index = sampler.index_of(task)
  if sampler.needs_class(index):
    labels = magvit.choose_labels(choices.shape, choices.motion, num, seed)
    captions = tuple(magvit.class_names[label] for label in labels)
  elif choices.shape or choices.motion:
    raise UserError(
      f"--task={task} is told no class, so --shape and --motion cannot be "
      "chosen."
    )
  else:
    labels = np.full(num, sampler.no_class, np.int32)
    captions = tuple(f"clip {number}" for number in range(num))
  tokens = sampler.sample(index, None, labels, seed).tokens
  return Generated(task, _clips_of(magvit, tokens), tokens, labels, captions)


def _from_real(magvit, task, num, seed, choices) -> Generated:
  if choices.data is None:
    raise UserError(
      f"--task={task} is shown a part of real clips: name a data set by --data."
    )
  source = real_clips.open_clips(choices.data, choices.split, magvit.trained)
  if not len(source):
    raise UserError(
      f"Split {choices.split!r} of {choices.data} is empty. Name another one "
      "by --split."
    )
  real = real_clips.load(source, num, magvit.class_names)
  sampler = magvit.sampler
  index = sampler.index_of(task)
  if sampler.needs_class(index) and sampler.no_class in real.labels:
    raise UserError(
      f"--task={task} is told the class, and {choices.data} has classes that "
      f"the run does not know. It knows {', '.join(magvit.class_names)}."
    )
  clips = real.frames.astype(np.float32) / np.float32(255)
  sample = sampler.sample(index, clips, real.labels, seed, choices.given_frames)
  condition = magvit.trained.model.tasks[index].condition
  given = None
  if condition.kind == "frame_prediction":
    given = choices.given_frames or condition.cond_frames
  return Generated(
    task,
    _clips_of(magvit, sample.tokens),
    sample.tokens,
    real.labels,
    real.captions,
    video_arrays.to_pixels(sample.shown, np.uint8),
    real,
    given,
  )


def _clips_of(magvit: Magvit, tokens: np.ndarray) -> np.ndarray:
  clips = magvit.networks.decode(tokens)
  return video_arrays.to_pixels(clips, np.uint8)
