"""`config.prediction`: ways to go on with a clip; see docs/prediction.md."""

import dataclasses

from magvit3d.config.networks import TransformerConfig
from magvit3d.config.studies import StudyConfig
from magvit3d.config.tasks import SamplingConfig, check_mask_schedule
from magvit3d.errors import UserError

PREDICTORS = (
  "baseline",
  "pooled",
  "joint_i3d",
  "slowfast",
  "masked",
  "autoregressive",
)
GUIDED = ("joint_i3d", "slowfast")  # By features of motion.
REGRESSIONS = ("baseline", "pooled", *GUIDED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionConfig(StudyConfig):
  """What is predicted, how, and by which networks.

  Attributes:
    names: Of the predictors that are trained, of `PREDICTORS`, with commas.
    given_frames: First frames of a clip; the others are predicted.
    transformer: Of each predictor.
    num_steps: Of each predictor, by name; None: `train_prediction.num_steps`.
    channel_share: Of the convolutions' channels in I3D and SlowFast; 1 is as
      published.
    slowfast_blocks: Of the four stages of SlowFast.
    motion_features: Of a clip, that guide a predictor.
    tokenizer_rate: Learning rate of the tokenizer that is trained on, times
      the predictor's.
    pixel_share: Of a batch, that is decoded for the losses of pixels and
      motion: every second clip, every third and so on.
    pixel_weight: Of the squared error of pixels, beside that of latents.
    motion_weight: Of the squared error of differences of frames of a clip.
    foreground_weight: Of pixels within the object's mask in both.
    label_smoothing: Of masked and autoregressive predictors.
    mask_schedule: Of the masked one; see `config.maskgvt`.
    masked_sampling: How the masked one decodes.
    autoregressive_temperature: Of the other one's tokens; 0: the likeliest.
    class_conditional: Masked and autoregressive predictors also learn to make
      whole clips of a class; half of what they are trained on are such.
    class_sampling: How such clips are drawn; of the autoregressive one
      `temperature`, `top_k` and `top_p` count.
    num_samples_per_class: Such clips that are scored.
    num_classifier_steps: Of the classifier that scores them.
    num_clips: Of the split that is scored, at most.
    num_shown_clips: In the report.
    min_foreground_gain_db: Foreground PSNR above the background alone and the
      copy of the last given frame, that each shall reach; None: not checked.
    max_centroid_px: Of the object's place in predicted frames of one fixed
      camera; None: not checked.
    max_velocity_error: Of discs of data.preset='phyworld_...', units per
      second, in distribution; see docs/phyworld.md. None: not checked.
    max_velocity_ratio: The same out of distribution over that in it.

  Raises:
    UserError: A value cannot be.
  """

  transformer: TransformerConfig
  num_steps: dict[str, int | None]
  names: str = ",".join(PREDICTORS)
  given_frames: int = 8
  channel_share: float = 1.0
  slowfast_blocks: tuple[int, ...] = (3, 4, 6, 3)
  motion_features: int = 1024
  tokenizer_rate: float = 0.1
  pixel_share: float = 1.0
  pixel_weight: float = 1.0
  motion_weight: float = 1.0
  foreground_weight: float = 5.0
  label_smoothing: float = 1e-4
  mask_schedule: str = "cosine"
  masked_sampling: SamplingConfig = dataclasses.field(
    default_factory=SamplingConfig
  )
  autoregressive_temperature: float = 0.0
  class_conditional: bool = False
  class_sampling: SamplingConfig = dataclasses.field(
    default_factory=SamplingConfig
  )
  num_samples_per_class: int = 8
  num_classifier_steps: int = 2000
  num_clips: int = 288
  num_shown_clips: int = 12
  min_foreground_gain_db: float | None = None
  max_centroid_px: float | None = None
  max_velocity_error: float | None = None
  max_velocity_ratio: float | None = None

  def __post_init__(self):
    unknown = [name for name in self.networks if name not in PREDICTORS]
    if unknown or not self.networks:
      raise UserError(
        f"config.prediction.names={self.names!r}: "
        f"{', '.join(unknown) or 'nothing'} is no predictor; they are "
        f"{','.join(PREDICTORS)}."
      )
    for name, steps in self.num_steps.items():
      if name not in PREDICTORS or (steps is not None and steps < 1):
        raise UserError(
          f"config.prediction.num_steps.{name}={steps}: the predictors are "
          f"{', '.join(PREDICTORS)}, and take 1 step or more."
        )
    for field in ("channel_share", "pixel_share"):
      if not 0 < getattr(self, field) <= 1:
        raise UserError(
          f"config.prediction.{field}={getattr(self, field)} must be above 0, "
          "and 1 at most."
        )
    if "slowfast" in self.networks and self.given_frames % 4:
      raise UserError(
        f"config.prediction.given_frames={self.given_frames} must be a "
        "multiple of 4 for slowfast, whose slow pathway sees every fourth."
      )
    if self.given_frames < 1:
      raise UserError(
        f"config.prediction.given_frames={self.given_frames} must be 1 or more."
      )
    check_mask_schedule("prediction", self.mask_schedule)
    if self.transformer.num_views > 1:
      raise UserError(
        "config.prediction.transformer.num_views must be 1: predictors see "
        "the clips of cameras one by one."
      )

  @property
  def known_networks(self) -> tuple[str, ...]:
    """All of `PREDICTORS`."""
    return PREDICTORS

  @property
  def networks(self) -> tuple[str, ...]:
    """The names, one by one."""
    return tuple(n.strip() for n in self.names.split(",") if n.strip())
