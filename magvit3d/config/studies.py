"""Sections of a config about studies: what networks can tell of motion.

A study is a run on rendered scenes that trains networks of its own, mostly on
a frozen tokenizer, and scores them against controls.
"""

import abc
import dataclasses
from typing import Literal

from magvit3d.errors import UserError

EXTRACTORS = ("frames", "i3d", "slowfast", "magvit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig(abc.ABC):
  """What the sections of all studies have.

  Attributes:
    split: Of the data, that is scored once all is trained.
    eval_batch_size: Scenes at a time, in validation and scores.
  """

  split: str = "test"
  eval_batch_size: int = 48

  @property
  def data_section(self) -> str:
    """Name of the section that says what data there are."""
    return "data"

  @property
  @abc.abstractmethod
  def networks(self) -> tuple[str, ...]:
    """Names of the networks that are trained, which are names of stages."""

  @property
  @abc.abstractmethod
  def known_networks(self) -> tuple[str, ...]:
    """The same of all that the study could train."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractorsConfig(StudyConfig):
  """`config.extractors`: networks that read motion; see docs/extractors.md.

  Attributes:
    names: Of the networks that are trained, of `EXTRACTORS`, with commas.
    given_frames: First frames of a clip, which are all that they read.
    features: Of each network and frame, by name.
    channel_share: Of the convolutions' channels in I3D and SlowFast; 1 is as
      published.
    slowfast_blocks: Of the four stages of SlowFast.
    width: Channels of the first convolution of `frames`, and of the tokens.
    num_layers: Of the transformers over time.
    num_heads: Of their attention.
    pooling: Over time and cameras: 'attention' or 'mean'.
    hidden_size: Of the two MLPs that answer.
    dropout_rate: Before they do.
    shuffled_labels: A control: training scenes get each other's motions, and
      what is learnt of them is chance.
    position_weight: Of the squared error of positions beside the cross-entropy
      of classes; positions have a variance of 1 there.
    min_accuracy: Of classes from all cameras, that each network shall reach.
    min_class_accuracy: The same, in each class.
    positions_below_constant_velocity: Whether that is wanted at t+1 and t+5.

  Raises:
    UserError: A value cannot be.
  """

  features: dict[str, int]
  names: str = ",".join(EXTRACTORS)
  given_frames: int = 8
  channel_share: float = 1.0
  slowfast_blocks: tuple[int, ...] = (3, 4, 6, 3)
  width: int = 64
  num_layers: int = 2
  num_heads: int = 4
  pooling: Literal["attention", "mean"] = "attention"
  hidden_size: int = 256
  dropout_rate: float = 0.1
  shuffled_labels: bool = False
  position_weight: float = 1.0
  min_accuracy: float | None = None
  min_class_accuracy: float | None = None
  positions_below_constant_velocity: bool = False

  def __post_init__(self):
    unknown = [name for name in self.networks if name not in EXTRACTORS]
    if unknown or not self.networks:
      raise UserError(
        f"config.extractors.names={self.names!r}: "
        f"{', '.join(unknown) or 'nothing'} is no network; they are "
        f"{','.join(EXTRACTORS)}."
      )
    for name in self.networks:
      if self.features.get(name, 0) < 1:
        raise UserError(
          f"config.extractors.features.{name} must be 1 or more: the features "
          "of a frame."
        )
    if not 0 < self.channel_share <= 1:
      raise UserError(
        f"config.extractors.channel_share={self.channel_share} must be above "
        "0, and 1 at most."
      )
    for name in ("width", "num_layers", "num_heads", "hidden_size"):
      if getattr(self, name) < 1:
        raise UserError(
          f"config.extractors.{name}={getattr(self, name)} must be 1 or more."
        )
    if not 0 <= self.dropout_rate < 1:
      raise UserError(
        f"config.extractors.dropout_rate={self.dropout_rate} must be at least "
        "0 and below 1."
      )
    for name in ("frames", "magvit"):
      if name in self.networks and self.features[name] % self.num_heads:
        raise UserError(
          f"config.extractors.num_heads={self.num_heads} must divide "
          f"features.{name}={self.features[name]}."
        )
    if "slowfast" in self.networks:
      if len(self.slowfast_blocks) != 4 or min(self.slowfast_blocks) < 1:
        raise UserError(
          f"config.extractors.slowfast_blocks={self.slowfast_blocks} must be "
          "four numbers, 1 or more: of the network's four stages."
        )
      if self.given_frames % 4:
        raise UserError(
          f"config.extractors.given_frames={self.given_frames} must be a "
          "multiple of 4 for slowfast, whose slow pathway sees every fourth."
        )
    if self.given_frames < 2:
      raise UserError(
        f"config.extractors.given_frames={self.given_frames} must be 2 or "
        "more: one frame shows no motion."
      )

  @property
  def known_networks(self) -> tuple[str, ...]:
    """All four."""
    return EXTRACTORS

  @property
  def networks(self) -> tuple[str, ...]:
    """The names, one by one."""
    return tuple(n.strip() for n in self.names.split(",") if n.strip())


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurpriseConfig(StudyConfig):
  """`config.surprise`: do networks notice the impossible? docs/surprise.md.

  Nothing is trained; `config.pretrained` has a transformer.

  Attributes:
    past_alone: Each latent frame is told the earlier ones alone, not all
      others.
    num_draws: Of the bound of masked diffusion; None: the tokens of a frame
      count as independent.
    min_mean: Share of pairs, in the mean of the six kinds that one camera sees.
    min_kind: The same in each of them.
    min_views: Of views that disagree, which several cameras can see.

  Raises:
    UserError: A value cannot be.
  """

  eval_batch_size: int = 16
  past_alone: bool = False
  num_draws: int | None = None
  min_mean: float | None = None
  min_kind: float | None = None
  min_views: float | None = None

  def __post_init__(self):
    if self.num_draws is not None and self.num_draws < 1:
      raise UserError(
        f"config.surprise.num_draws={self.num_draws} must be 1 or more, or "
        "None."
      )

  @property
  def known_networks(self) -> tuple[str, ...]:
    """None: nothing is trained."""
    return ()

  @property
  def networks(self) -> tuple[str, ...]:
    """The same."""
    return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PersistenceConfig(StudyConfig):
  """`config.persistence`: which objects stay? See docs/persistence.md.

  Attributes:
    width: Of the transformer.
    num_layers: Of it.
    num_heads: Of its attention.
    shuffled_labels: A control: training objects get each other's labels, and
      what is learnt of them is chance.
    confidences: At which an answer is taken before the clip is over.
    min_f1: Of objects that stay, at the last frame.
    min_attention_ratio: Attention to those that stay over those that pass.

  Raises:
    UserError: A value cannot be.
  """

  width: int = 64
  num_layers: int = 2
  num_heads: int = 4
  shuffled_labels: bool = False
  confidences: tuple[float, ...] = (0.9, 0.99)
  min_f1: float | None = None
  min_attention_ratio: float | None = None

  def __post_init__(self):
    for field in ("width", "num_layers", "num_heads"):
      if getattr(self, field) < 1:
        raise UserError(
          f"config.persistence.{field}={getattr(self, field)} must be 1 or "
          "more."
        )
    if self.width % self.num_heads:
      raise UserError(
        f"config.persistence.num_heads={self.num_heads} must divide "
        f"width={self.width}."
      )
    if any(not 0.5 < share < 1 for share in self.confidences):
      raise UserError(
        f"config.persistence.confidences={self.confidences} must be above 0.5, "
        "which is no knowledge, and below 1."
      )

  @property
  def known_networks(self) -> tuple[str, ...]:
    """The one."""
    return ("persistence",)

  @property
  def networks(self) -> tuple[str, ...]:
    """The same."""
    return self.known_networks
