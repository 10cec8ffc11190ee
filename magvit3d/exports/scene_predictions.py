"""What a model makes of held-out scenes, and how far off it is in metres."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.metres import run_paths
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.inference import user_videos
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress

PREDICTED = "predicted"
_KIND = "frame_prediction"
_Clips = UInt8[np.ndarray, "n v t h w 3"]


@dataclasses.dataclass(frozen=True)
class ScenePredictions:
  """Clips of n scenes with v views.

  Attributes:
    held_out: The scenes.
    given_frames: First frames that the model was given.
    real: The truth.
    predicted: What the model makes of the given frames; these are as given.
    reconstructed: The truth through the tokenizer.
  """

  held_out: HeldOutScenes
  given_frames: int
  real: _Clips
  predicted: _Clips
  reconstructed: _Clips

  def score(self) -> SceneTally:
    """Returns scores and paths beside trivial baselines."""
    return run_paths.score_paths(
      self.held_out,
      self.given_frames,
      {PREDICTED: self.predicted},
      floors={RECONSTRUCTIONS: self.reconstructed},
    )


def check(magvit: Magvit) -> int:
  """Returns the number of the task that predicts frames.

  Raises:
    UserError: The model has none.
  """
  task = magvit.sampler.find(_KIND)
  if task is None:
    raise UserError(
      f"The model has not learnt {_KIND}, so it cannot predict anything; its "
      f"tasks are {', '.join(magvit.task_names)}."
    )
  return task


def predict(
  magvit: Magvit, held_out: HeldOutScenes, seed: int
) -> ScenePredictions:
  """Predicts the later frames of all clips of some scenes.

  Args:
    magvit: Networks.
    held_out: Scenes that fit them.
    seed: Of the model's draws.

  Raises:
    UserError: The model has not learnt to predict frames.
  """
  task = check(magvit)
  samples = held_out.samples
  real = samples["frames"]
  n, v = real.shape[:2]
  labels, cameras = samples["labels"], None
  if magvit.trained.sees_views:
    cameras = Cameras.from_batch(samples)
  else:
    labels = np.repeat(labels, v)
  clips = real.reshape(n * v, *real.shape[2:]).astype(np.float32)
  clips /= np.float32(255)
  given = magvit.sampler.trained_frames(task)
  sample = magvit.sampler.sample(task, clips, labels, seed, cameras=cameras)
  stage_progress.note(1, 4)
  predicted = _decode(magvit, sample.tokens, real.shape)
  predicted[:, :, :given] = real[:, :, :given]
  stage_progress.note(2, 4)
  tokens = magvit.networks.encode(clips)
  stage_progress.note(3, 4)
  reconstructed = _decode(magvit, tokens, real.shape)
  return ScenePredictions(held_out, given, real, predicted, reconstructed)


def _decode(magvit, tokens, shape) -> np.ndarray:
  clips = user_videos.to_pixels(magvit.networks.decode(tokens), np.uint8)
  return clips.reshape(shape)
