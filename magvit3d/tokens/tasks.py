"""Tasks of the transformer: conditions and prefixes, by name.

A sequence is [task token, multi-task only] [class token] [latents, t-major];
in condition mode 'prefix' the condition's latents and SEPARATOR come before
the latents. Latents of several views stand behind one another.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from magvit3d.config.tasks import TaskConfig, TaskSamplingConfig
from magvit3d.tokens import masking, vocabulary
from magvit3d.tokens.conditions import KINDS, Condition

# These give whole views of a scene.
VIEW_KINDS = ("view_prediction", "view_frame_prediction")
# A task's kind is the one of these that its name starts with.
TASK_KINDS = ("full_generation", *KINDS, *VIEW_KINDS)
# COMMIT's names (MAGVIT, https://arxiv.org/abs/2212.05199, appendix B).
REGIONS = {
  "outpainting_h": "rectangle_horizontal",
  "outpainting_v": "rectangle_vertical",
  "outpainting_c": "rectangle_central",
  "outpainting_dv": "dynamic_vertical",
  "inpainting_c": "rectangle_central",
  "inpainting_dv": "dynamic_central",
}
BAIR_TASKS = ("frame_prediction", "frame_interpolation", *REGIONS)
_CONDITION_FIELDS = (
  "cond_frames",
  "cond_latent_frames",
  "cond_region",
  "cond_padding",
)
CONDITION_MODES = (*masking.CONDITION_MODES, "prefix")


@dataclasses.dataclass(frozen=True)
class Task:
  """One task of a run.

  Attributes:
    name: Starts with one of `TASK_KINDS`.
    condition: What the task shows of each clip; None for full generation and
      view prediction.
    condition_mode: How; see `masking`, or 'prefix'. Latent frame prediction
      is always 'cond->cond'.
    weight: Share of the training steps, relative to the other tasks'.
    class_conditional: Whether the class token says the class.
    has_inpainting_token: Whether inpainting sends its own token; upstream
      sends outpainting's.
    num_given_views: Views of a scene that are given exactly.
    sampling: Fields of `maskgvt.sampling` that are others for this task.
  """

  name: str
  condition: Condition | None = None
  condition_mode: str | None = None
  weight: float = 1.0
  class_conditional: bool = False
  has_inpainting_token: bool = False
  num_given_views: int = 0
  sampling: TaskSamplingConfig = dataclasses.field(
    default_factory=TaskSamplingConfig
  )

  def __post_init__(self):
    if self.condition_mode not in CONDITION_MODES:
      raise ValueError(
        f"Unknown condition mode {self.condition_mode!r}; use one of "
        f"{', '.join(map(repr, CONDITION_MODES))}."
      )
    if self.kind == "latent_frame_prediction":
      object.__setattr__(self, "condition_mode", "cond->cond")
    if self.condition_mode == "prefix" and self.kind != "frame_prediction":
      raise ValueError(
        f"The task {self.name} cannot stand before the latents: condition mode "
        "'prefix' is for frame_prediction alone."
      )

  @property
  def kind(self) -> str:
    return task_kind(self.name)

  @property
  def token(self) -> int:
    """Id that names the task in multi-task sequences."""
    kind = self.kind
    if kind == "latent_frame_prediction":
      kind = "full_generation"
    if kind == "inpainting" and not self.has_inpainting_token:
      kind = "outpainting"
    return vocabulary.TASK_TOKENS[kind]

  @property
  def mask_mode(self) -> str | None:
    """Condition mode among the latents."""
    return None if self.condition_mode == "prefix" else self.condition_mode

  @property
  def is_conditional(self) -> bool:
    """Whether the task shows anything of a clip or scene."""
    return self.condition is not None or self.num_given_views > 0

  def condition_video(
    self, video: Float[Array, "b *v t h w 3"]
  ) -> Float[Array, "b *v t h w 3"]:
    """The clips as this task shows each; themselves without condition."""
    if self.condition is None:
      return video
    clips = video.reshape(-1, *video.shape[-4:])
    return self.condition.video(clips).reshape(video.shape)

  def latent_mask(
    self, latent_shape: Sequence[int]
  ) -> Bool[np.ndarray, "t h w"]:
    """Where the condition's tokens carry given content."""
    shape = tuple(latent_shape)
    if self.condition is None:
      return np.zeros(shape, bool)
    return np.broadcast_to(self.condition.latent_mask(shape)[0], shape)

  def prefix_tokens(
    self, cond_tokens: Int[Array, "b t h w"]
  ) -> Int[Array, "b n"] | None:
    """What stands between class and latents; None for nothing."""
    if self.condition_mode != "prefix":
      return None
    given = cond_tokens[:, : self.condition.cond_latent_frames]
    given = given.reshape(len(given), -1)
    separator = jnp.full((len(given), 1), vocabulary.SEPARATOR, given.dtype)
    return jnp.concatenate([given, separator], axis=1)


def task_kind(name: str) -> str:
  """Returns the one of `TASK_KINDS` that a task's name starts with."""
  for kind in TASK_KINDS:
    if name.startswith(kind):
      return kind
  raise ValueError(
    f"config.tasks.{name} is unknown; the tasks are full_generation, "
    f"latent_frame_prediction, {', '.join((*BAIR_TASKS, *VIEW_KINDS))}."
  )


def tasks_from_config(
  tasks: Mapping[str, TaskConfig | None],
  condition_mode: str | None,
  num_frames: int,
  time_stride: int,
  *,
  has_inpainting_token: bool = False,
  num_views: int = 1,
) -> tuple[Task, ...]:
  """Builds the tasks of `config.tasks`, in order of their names.

  None stands for an empty section. `cond_latent_frames` None becomes
  ceil(cond_frames / time_stride). Tasks that give views have `num_given_views`,
  1 unless given.
  """
  built = []
  for name in sorted(tasks):
    section = tasks[name] or TaskConfig()
    kind = task_kind(name)
    weight = section.weight
    if not 0 <= weight < math.inf:
      raise ValueError(
        f"config.tasks.{name}.weight={weight} must be 0 or more; 0 leaves the "
        "task out of the training."
      )
    if 0 < weight < 0.005:
      raise ValueError(
        f"config.tasks.{name}.weight={weight} is too small: a task "
        "gets weight x 100 entries in the order of steps. Use 0, or 0.01 and "
        "more."
      )
    class_conditional = section.class_conditional
    if class_conditional is None:
      class_conditional = kind == "full_generation" and tasks[name] is None
    fields = {
      field: getattr(section, field)
      for field in (*_CONDITION_FIELDS, "num_given_views")
      if getattr(section, field) is not None
    }
    try:
      condition, num_given_views = None, 0
      if kind in VIEW_KINDS:
        num_given_views = fields.pop("num_given_views", 1)
        _check_given_views(num_given_views, num_views)
      if kind not in ("full_generation", "view_prediction"):
        condition = _condition(
          name, fields, condition_mode, num_frames, time_stride
        )
      elif fields:
        raise ValueError(f"it has no field {', '.join(fields)}.")
      task = Task(
        name,
        condition,
        condition_mode,
        weight,
        class_conditional,
        has_inpainting_token,
        num_given_views,
        section.sampling or TaskSamplingConfig(),
      )
    except (TypeError, ValueError) as error:
      raise ValueError(f"config.tasks.{name}: {error}") from error
    built.append(task)
  if condition_mode == "prefix" and len(built) != 1:
    raise ValueError(
      "config.maskgvt.condition_mode='prefix' is for a single task, "
      f"frame_prediction; config.tasks has {', '.join(sorted(tasks))}."
    )
  return tuple(built)


def _check_given_views(count: int, num_views: int) -> None:
  if num_views < 2:
    raise ValueError(
      "it gives some views of a scene for the others, and sequences have 1 "
      "view. Set config.transformer.num_views, or take the task out."
    )
  if not 1 <= count < num_views:
    raise ValueError(
      f"num_given_views={count} must be from 1 to {num_views - 1}, as "
      f"sequences have {num_views} views (config.transformer.num_views)."
    )


def _condition(
  name: str,
  fields: Mapping[str, str | int],
  condition_mode: str | None,
  num_frames: int,
  time_stride: int,
) -> Condition:
  frames = fields.get("cond_frames", Condition.cond_frames)
  fields = {
    "cond_region": REGIONS.get(name),
    "cond_latent_frames": -(-frames // time_stride),
  } | dict(fields)
  kind = task_kind(name).removeprefix("view_")
  condition = Condition(
    kind, **fields, prefix_condition=condition_mode == "prefix"
  )
  condition.check_frames(num_frames)
  return condition


def make_task_order(
  tasks: Sequence[Task], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
  """Task index of each training step, cycled: weight x 100 entries a task."""
  entries = np.repeat(
    np.arange(len(tasks)), [round(task.weight * 100) for task in tasks]
  )
  return rng.permutation(entries).astype(np.int32)


def add_prefix(
  vocab: vocabulary.Vocabulary,
  masked: masking.MaskedTokens,
  task_token: Int[Array, "*b"] | int,
  class_ids: Int[Array, " b"],
  uncond_task_token: Int[Array, "*b"] | int,
  prefix_tokens: Int[Array, "b m"] | None = None,
) -> masking.MaskedTokens:
  """Flattens token grids and puts task, class and condition before them.

  Args:
    vocab: Layout of the ids.
    masked: Fields (b, t, h, w).
    task_token: Of the task; unused unless `vocab.multi_task`.
    class_ids: Ids of the class token, `vocab.no_class` where it is not given.
    uncond_task_token: Task token of the sequence for guidance.
    prefix_tokens: See `Task.prefix_tokens`.

  Returns:
    Fields (b, n); the prefix has weight 0 and is its own target.
  """
  b = masked.targets.shape[0]

  def join(task_column, class_column, condition, grid, dtype):
    columns = [class_column]
    if vocab.multi_task:
      columns.insert(0, task_column)
    parts = [jnp.broadcast_to(column, (b,))[:, None] for column in columns]
    if prefix_tokens is not None:
      parts.append(jnp.broadcast_to(condition, prefix_tokens.shape))
    parts.append(grid.reshape(b, -1))
    return jnp.concatenate(parts, axis=1).astype(dtype)

  shown = 0 if prefix_tokens is None else prefix_tokens
  return masking.MaskedTokens(
    masked_inputs=join(
      task_token, class_ids, shown, masked.masked_inputs, jnp.int32
    ),
    uncond_masked_inputs=join(
      uncond_task_token,
      vocab.no_class,
      shown,
      masked.uncond_masked_inputs,
      jnp.int32,
    ),
    segment_ids=join(0, 0, 0, masked.segment_ids, jnp.int32),
    targets=join(task_token, class_ids, shown, masked.targets, jnp.int32),
    weights=join(0, 0, 0, masked.weights, jnp.float32),
  )


def uncond_task_token(tasks: Sequence[Task], task: Task) -> int:
  """Task token of the sequence for guidance; `tasks` are all configured."""
  if any(other.kind == "full_generation" for other in tasks):
    return vocabulary.TASK_TOKENS["full_generation"]
  return task.token
