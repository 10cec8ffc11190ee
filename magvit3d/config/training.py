"""Sections of a config about training."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from magvit3d.config.reading import UserPath
from magvit3d.errors import UserError

_RATES = ("g_lr", "d_lr", "learning_rate")  # Of whatever network has them.


def _check_fields(
  config: Any,
  section: str,
  fields: Sequence[str],
  is_right: Callable[[Any], bool],
  wanted: str,
) -> None:
  """Raises UserError for fields whose numbers are not what is wanted."""
  for field in fields:
    value = getattr(config, field)
    if value is not None and not is_right(value):
      raise UserError(f"config.{section}.{field}={value} must be {wanted}.")


def _is_amount(value: float | int) -> bool:
  return 0 <= value < math.inf  # Not NaN either.


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """`optimizer` of `config.train_tokenizer` and `config.train_transformer`.

  Attributes:
    name: 'adamw', or 'muon' (ours) for kernels of layers.
    muon_rate: Of Muon, times the learning rate.
    muon_beta: Its momentum.
    beta1: Of AdamW.
    beta2: Of AdamW.
    weight_decay: Of AdamW.
    max_grad_norm: None: gradients are not clipped.
  """

  beta1: float
  beta2: float
  weight_decay: float
  max_grad_norm: float | None = None
  name: Literal["adamw", "muon"] = "adamw"
  muon_rate: float = 10.0
  muon_beta: float = 0.95

  def check(self, section: str) -> None:
    """Raises UserError for numbers with which nothing is learnt."""
    _check_fields(
      self,
      section,
      ("beta1", "beta2", "muon_beta"),
      lambda share: 0 <= share < 1,
      "at least 0 and below 1",
    )
    _check_fields(
      self, section, ("weight_decay", "muon_rate"), _is_amount, "0 or more"
    )
    _check_fields(
      self,
      section,
      ("max_grad_norm",),
      lambda norm: norm > 0,
      "above 0, or None",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CropConfig:
  """What is trained on of each clip; see docs/crops.md.

  Attributes:
    num_frames: None: all.
    size: Pixels a side; None: all.
    object_share: Of the crops that lie around an object.
  """

  num_frames: int | None = None
  size: int | None = None
  object_share: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
  """What `config.train_tokenizer` and `config.train_transformer` share.

  Attributes:
    batch_size: Clips, over all devices.
    gradient_accumulation_steps: Parts of a batch, in turn.
    num_epochs: Times that each training clip is seen.
    num_steps: Steps, in place of `num_epochs`.
    warmup_steps: In which the learning rate rises from 0.
    log_every_steps: Steps between lines of metrics.jsonl.
    validate_every_steps: Steps between validations.
    checkpoint_every_steps: Steps between checkpoints.
    best_metric: 'min:NAME' or 'max:NAME', of the checkpoint that is kept
      besides the newest; None: of none.
    num_validation_clips: Clips of the validation split.
  """

  optimizer: OptimizerConfig
  warmup_steps: int
  batch_size: int = 1
  gradient_accumulation_steps: int = 1
  num_epochs: float = 1.0
  num_steps: int | None = None
  log_every_steps: int = 100
  validate_every_steps: int = 1000
  checkpoint_every_steps: int = 1000
  best_metric: str | None = None
  num_validation_clips: int = 96

  def check(self, section: str) -> None:
    """Raises UserError for numbers of steps, and rates, that cannot be."""
    for field in (
      "num_steps",
      "log_every_steps",
      "validate_every_steps",
      "checkpoint_every_steps",
      "gradient_accumulation_steps",
    ):
      value = getattr(self, field)
      if value is not None and value < 1:
        raise UserError(
          f"config.{section}.{field}={value} counts steps; use 1 or more."
        )
    _check_fields(
      self,
      section,
      ("num_epochs",),
      lambda number: 0 < number < math.inf,
      "above 0",
    )
    amounts = [
      "warmup_steps",
      *(name for name in _RATES if hasattr(self, name)),
    ]
    _check_fields(self, section, amounts, _is_amount, "0 or more")
    self.optimizer.check(f"{section}.optimizer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerTrainingConfig(TrainingConfig):
  """`config.train_tokenizer`.

  Attributes:
    g_lr: Peak learning rate of the generator.
    d_lr: Of the discriminator.
    crop: What is trained on of each clip.
  """

  g_lr: float
  d_lr: float
  crop: CropConfig = dataclasses.field(default_factory=CropConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkTrainingConfig(TrainingConfig):
  """How a network of a study is trained; see `magvit3d.config.studies`.

  Attributes:
    learning_rate: Its peak.
  """

  learning_rate: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerTrainingConfig(NetworkTrainingConfig):
  """`config.train_transformer`.

  Attributes:
    label_smoothing: Share of the targets that is spread over all codes.
  """

  label_smoothing: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerLossConfig:
  """`config.vqgan`: losses of the tokenizer, MAGVIT's appendix A.

  Attributes:
    loss_type: Adversarial: 'non-saturating' or 'hinge'.
    g_adversarial_loss_weight: Of the adversarial term of the generator.
    gradient_penalty: Of the discriminator at real clips.
    grad_penalty_cost: Its weight.
    lecam_weight: Of LeCam regularization; 0: off.
    perceptual_loss_weight: Of the distance of ResNet-50's outputs; above 0
      takes `perceptual_weights`. Upstream's is 0.1.
    entropy_loss_enlarge_ratio: How much more the entropy loss weighs at first.
    entropy_loss_enlarge_steps: Steps in which this falls to 0.
    finetune_decoder: Trains the decoder alone.
    polyak_decay: Of the moving average of the generator, which is what is used.
    perceptual_loss_on_logit: Else on the 7x7x2048 map.
    perceptual_weights: Ours: a file of torchvision's ResNet-50.
    num_train_sampled_frames: Of clips, for '2dcnn'; None: all.
    foreground_weight: Ours: of errors in pixels of objects; upstream's is 1.
    discriminator_start_step: Ours: first step with a discriminator; None:
      without one.
    quantizer_start_step: Ours: first step with a quantizer; before, clips pass
      unquantized.
    codebook_init_clips: Ours: clips whose features are the first codes; 0:
      random ones, as upstream.
    dead_code_reset_steps: Ours: steps after which unused codes are moved to
      features; None: never, as upstream.

  Raises:
    UserError: A value cannot be.
  """

  loss_type: str = "non-saturating"
  g_adversarial_loss_weight: float = 0.1
  gradient_penalty: Literal["r1", "none"] = "r1"
  grad_penalty_cost: float = 10.0
  lecam_weight: float = 0.0
  perceptual_loss_weight: float = 0.0
  perceptual_loss_on_logit: bool = True
  perceptual_weights: UserPath | None = None
  entropy_loss_enlarge_ratio: float = 0.0
  entropy_loss_enlarge_steps: int = 2000
  finetune_decoder: bool = False
  num_train_sampled_frames: int | None = None
  polyak_decay: float = 0.999
  foreground_weight: float = 1.0
  discriminator_start_step: int | None = 0
  quantizer_start_step: int = 0
  codebook_init_clips: int = 0
  dead_code_reset_steps: int | None = None

  def __post_init__(self):
    amounts = (
      "g_adversarial_loss_weight",
      "grad_penalty_cost",
      "lecam_weight",
      "perceptual_loss_weight",
      "foreground_weight",
      "entropy_loss_enlarge_ratio",
      "discriminator_start_step",
      "quantizer_start_step",
      "codebook_init_clips",
    )
    _check_fields(self, "vqgan", amounts, _is_amount, "0 or more")
    _check_fields(
      self,
      "vqgan",
      ("entropy_loss_enlarge_steps", "dead_code_reset_steps"),
      lambda steps: steps >= 1,
      "1 or more",
    )
    _check_fields(
      self,
      "vqgan",
      ("polyak_decay",),
      lambda share: 0 <= share <= 1,
      "from 0 to 1",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitialParametersConfig:
  """`config.init_from`: parameters to start from; see `upstream.initial`.

  Attributes:
    checkpoint_path: None: random values.
    inflation: '2d->3d' or '2d->3d/average'.
    allow: Leaves that may differ.
  """

  checkpoint_path: UserPath | None = None
  inflation: str | None = None
  allow: str = ""
