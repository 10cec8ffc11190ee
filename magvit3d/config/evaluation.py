"""The section of a config about evaluation; see docs/evaluation.md."""

import dataclasses
import pathlib

from data_gen import schema
from magvit3d.config.reading import UserPaths
from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
  """`config.evaluation`.

  Attributes:
    split: Whose scenes are scored.
    batch_size: Clips, over all devices.
    num_clips: At most; spread evenly over the split.
    num_shown_clips: In the report.
    num_samples_per_class: Samples of each class that are scored.
    num_shown_samples_per_class: Of these, in the report.
    num_probe_scenes: Training scenes that probes are fitted on; 0: no probes,
      no rates, no scores of samples.
    num_feature_scenes: Of these, at most, those whose transformer's features
      are read; None: all.
    num_probe_steps: Of each probe.
    num_classifier_samples: Training samples that the classifier of samples is
      fitted on.
    num_classifier_steps: Of this classifier.
    num_rate_clips: At most; None: `num_clips`.
    token_budgets: Shares of a clip's tokens that are told.
    i3d_weights: File of weights that others trained, for FVD; several with
      commas; None leaves it out. See docs/video_metrics.md.
    c3d_weights: Likewise, for the inception score.
    lpips_weights: Likewise, for LPIPS: two files with a comma.
    max_ade_over_copy_last: Target of the report, as all that follow; None (or
      False): not checked. ADE of predicted clips over that of a copy of the
      last given frame.
    max_ade_over_constant_velocity: The same over that of constant velocity.
    motions_below_baselines: On each motion the predicted ADE is below that of
      the copy, and below that of constant velocity.
    min_foreground_gain_db: PSNR of the object above background only, dB.
    max_color_error_ratio: Error of the object's colour over that of background
      only.
    max_tokenizer_ade_m: ADE of clips through the tokenizer, metres.
    min_sample_shape_accuracy: Share of samples of a class in which a classifier
      of real tokens sees the right shape.
    min_sample_motion_accuracy: The same of the motion.
    min_classifier_accuracy: Share of real held-out samples in which this
      classifier is right, for shape and for motion.
    min_probe_motion_accuracy: Motion, by the best probe of tokens or features.
    probes_below_baselines: Distance at t+1 and t+5, by the best probe of tokens
      or features: below constant velocity and the best probe of pixels.
    min_foreground_perplexity: Perplexity of the codes on cells that touch the
      object.
    max_token_error_ratio: Error on hidden tokens over that of the most frequent
      token, on these cells.

  Raises:
    UserError: A value cannot be, or a file is not there.
  """

  split: str = "test"
  batch_size: int = 24
  num_clips: int = 600
  num_shown_clips: int = 12
  num_samples_per_class: int = 16
  num_shown_samples_per_class: int = 2
  num_probe_scenes: int = 1000
  num_feature_scenes: int | None = None
  num_probe_steps: int = 2000
  num_classifier_samples: int = 6000
  num_classifier_steps: int = 4000
  num_rate_clips: int | None = None
  token_budgets: tuple[float, ...] = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
  i3d_weights: UserPaths | None = None
  c3d_weights: UserPaths | None = None
  lpips_weights: UserPaths | None = None
  max_ade_over_copy_last: float | None = None
  max_ade_over_constant_velocity: float | None = None
  motions_below_baselines: bool | None = None
  min_foreground_gain_db: float | None = None
  max_color_error_ratio: float | None = None
  max_tokenizer_ade_m: float | None = None
  min_sample_shape_accuracy: float | None = None
  min_sample_motion_accuracy: float | None = None
  min_classifier_accuracy: float | None = None
  min_probe_motion_accuracy: float | None = None
  probes_below_baselines: bool | None = None
  min_foreground_perplexity: float | None = None
  max_token_error_ratio: float | None = None

  def __post_init__(self):
    if self.split not in schema.SPLITS:
      raise UserError(
        f"config.evaluation.split={self.split!r} is unknown; use one of "
        f"{', '.join(schema.SPLITS)}."
      )
    for field in (
      "num_clips",
      "num_probe_scenes",
      "num_feature_scenes",
      "num_probe_steps",
      "num_classifier_samples",
      "num_classifier_steps",
      "num_samples_per_class",
      "num_shown_samples_per_class",
    ):
      least = 0 if field == "num_probe_scenes" else 1
      value = getattr(self, field)
      if value is not None and value < least:
        raise UserError(
          f"config.evaluation.{field}={value} must be {least} or more."
        )
    if not all(0 <= share <= 1 for share in self.token_budgets):
      raise UserError(
        f"config.evaluation.token_budgets={self.token_budgets} are shares of a "
        "clip's tokens; use numbers from 0 to 1."
      )

  def check_weights(self) -> None:
    """Raises UserError for files of weights that are not there."""
    for field in ("i3d_weights", "c3d_weights", "lpips_weights"):
      value = getattr(self, field)
      for path in (value or "").split(","):
        if path and not pathlib.Path(path).is_file():
          raise UserError(
            f"config.evaluation.{field}={value}: {path} is no file. Name one "
            "with weights (docs/video_metrics.md), or leave it out: the metric "
            "is then not computed."
          )
