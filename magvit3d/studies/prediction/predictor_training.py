"""What the training of all predictors has in common."""

import abc
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, PyTree

from magvit3d.evaluation import image_metrics
from magvit3d.inference.batched import map_batches
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.run.data import TrainingSamples
from magvit3d.run.stages import Run
from magvit3d.studies.prediction.prediction_clips import PredictionClips
from magvit3d.studies.study_training import StudyTraining

# Of the section, that may change once a predictor is trained.
_OF_SCORES = (
  "names",
  "split",
  "eval_batch_size",
  "num_steps",
  "masked_sampling",
  "autoregressive_temperature",
  "class_sampling",
  "num_samples_per_class",
  "num_classifier_steps",
  "num_clips",
  "num_shown_clips",
  "min_foreground_gain_db",
  "max_centroid_px",
  "max_velocity_error",
  "max_velocity_ratio",
)


class PredictorTraining(StudyTraining):
  """Trains one predictor.

  Attributes:
    with_frames: Whether it is trained on frames besides tokens.
    clips: What it shares with the others.
  """

  with_frames = False

  def __init__(self, run: Run, name: str, clips: PredictionClips):
    super().__init__(run, name)
    self.clips, self.settings = clips, clips.settings

  @abc.abstractmethod
  def predict(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> Float[np.ndarray, "n t h w 3"]:
    """Returns whole clips in [0, 1]; of given frames they need show nothing.

    Args:
      params: Of the predictor.
      clips: `frames`, of which only the given ones are read, and `cond_tokens`.
    """

  def latent_losses(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> dict[str, float] | None:
    """Returns squared errors of latents by name; None of what has no latents.

    Args:
      params: Of the predictor.
      clips: As for `predict`, and `tokens`.
    """
    del params, clips
    return None

  def sample(
    self, params: PyTree, labels: Int[np.ndarray, " n"]
  ) -> Int[np.ndarray, "n t h w"] | None:
    """Returns token grids of classes; None of what does not learn these."""
    del params, labels
    return None

  def num_steps(self) -> int:
    """Returns the steps of the stage."""
    return self.settings.num_steps.get(self.name) or super().num_steps()

  def identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with."""
    tokenizer = {"fingerprint": self.clips.tokenizer_fingerprint}
    return self._sections() | {"tokenizer": tokenizer}

  def _sections(self) -> dict[str, dict[str, Any]]:
    """The same without the tokenizer."""
    section = dict(self._run.config.given["prediction"])
    for field in _OF_SCORES:
      section.pop(field, None)
    return {"prediction": section, "data": self._run.data.identity()}

  def check_fits(self) -> None:
    """Raises UserError if there is a network of another config."""
    # Whether the tokenizer is still the same is seen once it is trained; what
    # is read of it before would be kept.
    sections = self._sections()
    if self._folder.exists():
      with contextlib.closing(self._checkpoints(sections)) as checkpoints:
        if checkpoints.latest_step() is not None:
          checkpoints.check_identity(sections=sections)

  def num_samples(self) -> int:
    """Returns the clips to train on."""
    return len(self.clips.training_clips)

  def samples(self) -> TrainingSamples:
    """Returns the clips to train on."""
    with StageProgress(
      self._run.workdir, "tokens", {"training clips": 1.0}, needs_status=False
    ):
      return TrainingSamples(self.clips.training_samples(self.with_frames))

  def run(self) -> None:
    """Trains it, if the tokenizer shows the object."""
    self.clips.pass_oracle_gate()
    super().run()

  def validation(self) -> Callable[[PyTree], Mapping[str, float]]:
    """Returns what scores predictions of clips of the validation split."""
    count, given = (
      self.training.num_validation_clips,
      self.settings.given_frames,
    )
    held_out = self._run.data.some_clips("validation", count)
    held_out |= self.clips.tokenize(held_out)
    real = held_out["frames"][:, given:].astype(np.float32) / 255
    is_object = held_out["masks"][:, given:] > 0

    def validate(params):
      made = self.predict(params, held_out)[:, given:]
      scores = {"psnr": float(np.mean(image_metrics.psnr(made, real)))}
      if is_object.any():
        found = image_metrics.foreground_psnr(made, real, is_object)
        scores["foreground_psnr"] = float(np.nanmean(found))
      return scores

    return validate

  def map(
    self,
    function: Callable[[dict], PyTree],
    arrays: Mapping[str, np.ndarray],
  ) -> PyTree:
    """Returns a jitted function of all clips, see `map_batches`."""
    size = self.settings.eval_batch_size
    return map_batches(function, arrays, size, self._run.mesh)
