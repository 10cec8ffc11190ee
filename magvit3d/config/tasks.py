"""Sections about tasks, masks and sampling; see docs/sampling.md."""

import dataclasses
import math
from typing import Literal

from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
  """`config.maskgvt.sampling`.

  Attributes:
    mask_bins: Decoding steps.
    choice_temperature: Of the choice of tokens to keep.
    temperature: Of the tokens; 0 takes the likeliest.
    top_k: Tokens to draw from; None is all.
    top_p: Their share of the probability; None is all.
    guidance: Weight of what the task adds to the unconditional logits.
    order: Tokens that are decoded first: None, the surest, or
      'frame_by_frame'.
  """

  mask_bins: int = 12
  choice_temperature: float = 4.5
  temperature: float = 1.0
  top_k: int | None = None
  top_p: float | None = None
  guidance: float = 0.0
  order: Literal["frame_by_frame"] | None = None

  def with_changes(self, changes: "TaskSamplingConfig") -> "SamplingConfig":
    """Returns it with what a task has in its place."""
    given = {
      name: value
      for name, value in dataclasses.asdict(changes).items()
      if value is not None
    }
    return dataclasses.replace(self, **given)

  def check(self, section: str, num_tokens: int | None) -> None:
    """Raises UserError for numbers with which nothing can be drawn.

    Args:
      section: Of the config, for messages.
      num_tokens: To choose from; None if that is not known yet.
    """

    def fail(field: str, wanted: str) -> None:
      value = getattr(self, field)
      raise UserError(f"config.{section}.{field}={value} must be {wanted}.")

    if self.mask_bins < 1:
      fail("mask_bins", "1 or more: the steps of decoding")
    for field in ("temperature", "choice_temperature"):
      if not 0 <= getattr(self, field) < math.inf:
        fail(field, "0 or more")
    if not math.isfinite(self.guidance):
      fail("guidance", "a number that is finite")
    if self.top_k is not None:
      if self.top_k < 1 or (num_tokens and self.top_k > num_tokens):
        most = (
          f"from 1 to the {num_tokens} codes" if num_tokens else "1 or more"
        )
        fail("top_k", f"{most}, or None for all")
      if self.top_p is not None:
        fail("top_k", f"None beside top_p={self.top_p}: one of them cuts")
    if self.top_p is not None and not 0 < self.top_p <= 1:
      fail("top_p", "above 0, and 1 at most, or None for all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSamplingConfig:
  """`config.tasks.NAME.sampling`: None is as in `SamplingConfig`.

  Attributes:
    mask_bins: Ours, as all of these: in place of maskgvt.sampling's, where not
      None.
    choice_temperature: The same.
    temperature: The same.
    top_k: The same.
    top_p: The same.
    guidance: The same.
    order: The same.
  """

  mask_bins: int | None = None
  choice_temperature: float | None = None
  temperature: float | None = None
  top_k: int | None = None
  top_p: float | None = None
  guidance: float | None = None
  order: Literal["frame_by_frame"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
  """`config.tasks.NAME`; fields that a kind of task does not have are None.

  Attributes:
    weight: Share of the training, relative to the other tasks'.
    class_conditional: Whether the class token says the class; None: of
      full generation alone, and only where its section is empty.
    cond_frames: Given frames; for interpolation at each end.
    cond_latent_frames: Latent frames that count as given; None: from
      `cond_frames`.
    cond_region: Of outpainting and inpainting.
    cond_padding: Mode of `numpy.pad` that fills the rest; None: the task's own.
    num_given_views: Of tasks that give views of a scene; None is 1.
    sampling: How this task is sampled.
  """

  weight: float = 1.0
  class_conditional: bool | None = None
  cond_frames: int | None = None
  cond_latent_frames: int | None = None
  cond_region: str | None = None
  cond_padding: str | None = None
  num_given_views: int | None = None
  sampling: TaskSamplingConfig | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedModelConfig:
  """`config.maskgvt`: how tokens are hidden, in what sequences.

  Attributes:
    multi_task: Whether sequences start with a task token.
    inpainting_token: Whether inpainting has a token of its own; upstream sends
      outpainting's.
    condition_mode: What hidden positions of the condition show: None, MASK;
      'cond->input' (COMMIT), the condition's token; 'input->input' and
      'cond->cond', they are never hidden; 'prefix', it stands before the clip.
    weight_mode: Where the loss counts: 'mask+refine+recons', everywhere;
      'mask+refine', at hidden positions.
    mask_type: 'random', 'block', 'frame_by_frame', and ours: 'frame', 'tube',
      'view'; several with commas: each sample has one of them.
    mask_block_shape: Time, height, width of 'block', in tokens.
    mask_schedule: Share of hidden tokens by progress: 'cosine', 'uniform',
      'powX', 'log', 'exp' or 'poly:a,b'; see `tokens.schedules`.
    draw: 'step': one task and mask ratio a step, as upstream; or 'clip'.
    sampling: Of all tasks.

  Raises:
    UserError: There is no such schedule.
  """

  condition_mode: str | None
  multi_task: bool
  weight_mode: str = "mask+refine+recons"
  mask_schedule: str = "cosine"
  mask_type: str = "random"
  mask_block_shape: tuple[int, ...] = (1, 1, 1)
  inpainting_token: bool = False
  draw: Literal["step", "clip"] = "step"
  sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)

  def __post_init__(self):
    check_mask_schedule("maskgvt", self.mask_schedule)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoregressiveModelConfig:
  """How upstream's LMGVT is sampled: `temperature`, `top_k` and `top_p`."""

  sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)


def check_mask_schedule(section: str, name: str) -> None:
  """Raises UserError unless `schedules.mask_ratio` knows a `mask_schedule`."""
  try:
    if name.startswith("pow"):
      float(name.removeprefix("pow"))
    elif name.startswith("poly:"):
      [float(text) for text in name.removeprefix("poly:").split(",")]
    elif name not in ("uniform", "cosine", "log", "exp"):
      raise ValueError
  except ValueError as error:
    raise UserError(
      f"config.{section}.mask_schedule={name!r} is none; use 'uniform', "
      "'cosine', 'powX', 'log', 'exp' or 'poly:a,b,...', with numbers."
    ) from error
