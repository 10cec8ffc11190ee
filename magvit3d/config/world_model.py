"""Sections of `configs/world_model.py`: moving digits, and a world model."""

import dataclasses
from typing import Literal

from magvit3d.config.data import SceneDataConfig
from magvit3d.config.reading import UserPath
from magvit3d.config.studies import StudyConfig
from magvit3d.config.tasks import check_mask_schedule
from magvit3d.errors import UserError

WORLD_MODEL, CONVLSTM = "world_model", "convlstm"
# What an action moves.
DIGIT, OBJECT, CAMERA = "digit", "object", "camera"


def _check_at_least(section: str, config: object, minimum: int, names: str):
  for name in names.split():
    value = getattr(config, name)
    if value < minimum:
      raise UserError(
        f"config.{section}.{name}={value} must be {minimum} or more."
      )


def _check_shares(section: str, config: object, names: str):
  for name in names.split():
    value = getattr(config, name)
    if not 0 <= value <= 1:
      raise UserError(f"config.{section}.{name}={value} must be in [0, 1].")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitsConfig:
  """`config.digits`: clips of moving digits, made when they are read.

  Attributes:
    num_train: Clips to train on.
    num_validation: Clips that training is watched on.
    num_test: Clips that are scored.
    num_frames: Of a clip.
    image_size: Pixels a side.
    num_digits: In each clip; the first is moved by the actions.
    max_speed: Largest velocity on each axis, whole pixels a frame.
    turn_rate: Chance of a new velocity of the first digit, each frame.
    seed: Of all clips.
    mnist_dir: Folder with MNIST's idx files; None: digits of the package.
    test_file: A file `mnist_test_seq.npy`, whose clips are scored in place of
      the test split; nobody knows their actions. None: the test split.

  Raises:
    UserError: A value cannot be.
  """

  num_train: int
  num_validation: int
  num_test: int
  num_frames: int = 20
  image_size: int = 64
  num_digits: int = 2
  max_speed: int = 4
  turn_rate: float = 0.15
  seed: int = 0
  mnist_dir: UserPath | None = None
  test_file: UserPath | None = None

  def __post_init__(self):
    _check_at_least(
      "digits",
      self,
      1,
      "num_train num_validation num_test num_digits max_speed",
    )
    _check_at_least("digits", self, 2, "num_frames")
    _check_at_least("digits", self, 11, "image_size")  # SSIM's window.
    _check_at_least("digits", self, 0, "seed")
    _check_shares("digits", self, "turn_rate")
    if 4 * self.max_speed > self.image_size:
      raise UserError(
        f"config.digits.max_speed={self.max_speed} is too much for frames of "
        f"{self.image_size} px: use {self.image_size // 4} or less."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvLstmConfig:
  """`config.world_model.convlstm`: the baseline that is trained beside it.

  Attributes:
    num_layers: Of the recurrent network.
    features: Of each layer; with as many parameters as the world model.
    kernel_size: Of its convolutions.
    learning_rate: Its peak; None: that of `train_world_model`.
    num_steps: Of its training; None: as many. Its steps may take longer, and
      fewer of them as long.
  """

  num_layers: int = 2
  features: int = 64
  kernel_size: int = 3
  learning_rate: float | None = None
  num_steps: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionConfig:
  """`config.world_model.motion`: convolutions around the transformer.

  Attributes:
    features: Channels of each pixel's convolution; 0: patches alone say all.
    num_kernels: That say from where in the frame before a pixel comes; each
      moves a part of the features.
    radius: Pixels that a kernel reaches to each side.
    width: Channels of the convolutions that say the codes.
    num_layers: Of these.

  Raises:
    UserError: A value cannot be.
  """

  features: int = 0
  num_kernels: int = 4
  radius: int = 1
  width: int = 64
  num_layers: int = 2

  def __post_init__(self):
    section = "world_model.motion"
    _check_at_least(section, self, 0, "features radius")
    _check_at_least(section, self, 1, "num_kernels width num_layers")
    if self.features % self.num_kernels:
      raise UserError(
        f"config.{section}.num_kernels={self.num_kernels} must divide features="
        f"{self.features}."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldModelConfig(StudyConfig):
  """`config.world_model`: discrete diffusion with actions; docs/world_model.md.

  Attributes:
    action: Steps of what are told: of the first 'digit' of `config.digits`, or
      in scenes of `config.data` of the main 'object', or of the 'camera',
      which moves there.
    num_levels: Of a pixel, which are the codes.
    patch: Side of the squares of pixels that one position stands for.
    num_layers: Of the transformer.
    hidden_size: Its width.
    mlp_dim: Width inside its MLPs.
    num_heads: Of its attention.
    kernel_init_stddev: Of its kernels' initial values.
    relative_bias: Whether attention has a learned bias for each offset in space
      and in time.
    attention_implementation: See `TransformerConfig`.
    remat: See `TransformerConfig`.
    motion: Convolutions around the transformer.
    future_share: Of the training clips: first frames are given, the model says
      the others.
    joint_share: Of them: no frame is given. The rest: each frame by itself.
    mask_schedule: Share of hidden tokens at a random progress, see
      `schedules.mask_ratio`.
    draw: One share of hidden tokens for each 'clip', as CoPilot4D, or one for
      each 'frame'.
    max_noise: Largest share of the tokens that are shown, not given, which
      become other codes.
    action_drop_rate: Share of the training clips whose actions are not told.
    label_smoothing: Share of the targets that is spread over all codes.
    ema_decay: Of the moving average of the parameters, which is what is used.
    given_frames: First frames that predictions are told.
    steps_per_frame: Of decoding.
    choice_temperature: Of the noise on what is taken as known first.
    temperature: Of the codes that are drawn; 0 takes the likeliest.
    num_samples: Of each test clip, whose mean is scored beside a single one:
      squared errors ask for the mean of what may come.
    resample: Whether decoded tokens are drawn anew in later steps.
    convlstm: The baseline.
    below_baselines: Whether the error shall be below each baseline's.
    actions_matter: Whether it shall be larger with others' actions.
    num_shown_clips: In the report.

  Raises:
    UserError: A value cannot be.
  """

  action: Literal["digit", "object", "camera"] = DIGIT
  num_levels: int = 16
  patch: int = 4
  num_layers: int = 8
  hidden_size: int = 512
  mlp_dim: int = 2048
  num_heads: int = 8
  kernel_init_stddev: float = 0.02
  relative_bias: bool = True
  attention_implementation: (
    Literal["xla", "cudnn", "flash", "heads_first"] | None
  ) = None
  remat: bool = False
  motion: MotionConfig = dataclasses.field(default_factory=MotionConfig)
  future_share: float = 0.5
  joint_share: float = 0.4
  mask_schedule: str = "cosine"
  draw: Literal["clip", "frame"] = "clip"
  max_noise: float = 0.2
  action_drop_rate: float = 0.1
  label_smoothing: float = 0.0
  ema_decay: float = 0.999
  given_frames: int = 10
  steps_per_frame: int = 8
  choice_temperature: float = 1.0
  temperature: float = 1.0
  num_samples: int = 8
  resample: bool = True
  convlstm: ConvLstmConfig = dataclasses.field(default_factory=ConvLstmConfig)
  below_baselines: bool = True
  actions_matter: bool = True
  num_shown_clips: int = 8

  def __post_init__(self):
    _check_at_least(
      "world_model",
      self,
      1,
      "patch num_layers hidden_size mlp_dim num_heads given_frames "
      "steps_per_frame num_samples eval_batch_size",
    )
    _check_at_least("world_model", self, 2, "num_levels")
    _check_at_least(
      "world_model",
      self,
      0,
      "num_shown_clips temperature choice_temperature",
    )
    _check_at_least(
      "world_model.convlstm",
      self.convlstm,
      1,
      "num_layers features kernel_size",
    )
    _check_shares(
      "world_model",
      self,
      "future_share joint_share max_noise action_drop_rate label_smoothing "
      "ema_decay",
    )
    check_mask_schedule("world_model", self.mask_schedule)
    if self.split not in ("train", "validation", "test"):
      raise UserError(
        f"config.world_model.split={self.split!r} is none; there are train, "
        "validation and test."
      )
    if self.num_levels > 256:
      raise UserError(
        f"config.world_model.num_levels={self.num_levels}: a pixel has 256 "
        "levels at most."
      )
    if self.future_share + self.joint_share > 1:
      raise UserError(
        f"config.world_model.future_share={self.future_share} and joint_share="
        f"{self.joint_share} are shares of the clips: 1 together, or less."
      )
    if self.hidden_size % self.num_heads:
      raise UserError(
        f"config.world_model.num_heads={self.num_heads} must divide "
        f"hidden_size={self.hidden_size}."
      )

  def check_fits(self, data: DigitsConfig | SceneDataConfig) -> None:
    """Raises UserError if the clips do not fit the network."""
    section = f"config.{self.data_section}"
    if data.image_size % self.patch:
      raise UserError(
        f"config.world_model.patch={self.patch} must divide "
        f"{section}.image_size={data.image_size}."
      )
    if self.given_frames >= data.num_frames:
      raise UserError(
        f"config.world_model.given_frames={self.given_frames} of "
        f"{section}.num_frames={data.num_frames} leaves nothing to "
        "predict. Give fewer."
      )
    if self.steps_per_frame > data.image_size**2:
      raise UserError(
        f"config.world_model.steps_per_frame={self.steps_per_frame} is more "
        f"than the {data.image_size**2} tokens of a frame."
      )

  @property
  def data_section(self) -> str:
    """Moving digits, or scenes."""
    return "digits" if self.action == DIGIT else "data"

  @property
  def known_networks(self) -> tuple[str, ...]:
    """The model, and the baseline."""
    return (WORLD_MODEL, CONVLSTM)

  @property
  def networks(self) -> tuple[str, ...]:
    """The same."""
    return self.known_networks
