"""Tasks of the transformer: conditions and prefixes, by name.

A sequence is [task token, multi-task only] [class token] [latents, t-major].
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from magvit3d.tokens import conditions, masking, vocabulary

TASK_NAMES = ("full_generation", "frame_prediction")


@dataclasses.dataclass(frozen=True)
class Task:
  """One task of a run.

  Attributes:
    name: One of `TASK_NAMES`.
    weight: Share of the training steps, relative to the other tasks'.
    class_conditional: Whether the class token says the class.
    cond_frames: Given frames of frame prediction.
    cond_latent_frames: Latent frames that count as given.
    cond_padding: Mode of `numpy.pad` that continues the given frames.
  """

  name: str
  weight: float = 1.0
  class_conditional: bool = False
  cond_frames: int = 0
  cond_latent_frames: int = 0
  cond_padding: str = "edge"

  @property
  def has_condition(self) -> bool:
    """Whether the task shows a part of the clip."""
    return self.name != "full_generation"

  @property
  def token(self) -> int:
    """Id that names the task in multi-task sequences."""
    return vocabulary.TASK_TOKENS[self.name]

  def condition_video(
    self, video: Float[Array, "b t h w 3"], num_latent_frames: int
  ) -> Float[Array, "b t h w 3"]:
    """The clip as this task shows it."""
    return self._condition(video, num_latent_frames).video

  def latent_mask(
    self, latent_shape: Sequence[int]
  ) -> Bool[np.ndarray, "t h w"]:
    """Where the condition's tokens carry given content."""
    mask = np.zeros(tuple(latent_shape), bool)
    if self.name == "frame_prediction":
      mask[: self.cond_latent_frames] = True
    return mask

  def _condition(self, video, num_latent_frames) -> conditions.Condition:
    return conditions.frame_prediction(
      video,
      num_latent_frames,
      self.cond_frames,
      self.cond_latent_frames,
      self.cond_padding,
    )


def tasks_from_config(
  tasks: Mapping[str, Mapping[str, Any]], num_frames: int, time_stride: int
) -> tuple[Task, ...]:
  """Builds the tasks of `config.tasks`, in order of their names.

  `cond_latent_frames` None becomes ceil(cond_frames / time_stride).
  """
  built = []
  for name in sorted(tasks):
    fields = dict(tasks[name])
    if name not in TASK_NAMES:
      raise ValueError(
        f"config.tasks.{name} is unknown; the tasks are "
        f"{', '.join(TASK_NAMES)}."
      )
    weight = fields.get("weight", Task.weight)
    if 0 < weight < 0.005:
      raise ValueError(
        f"config.tasks.{name}.weight={weight} is too small: a task "
        "gets weight x 100 entries in the order of steps. Use 0, or 0.01 and "
        "more."
      )
    if name == "frame_prediction":
      cond_frames = fields["cond_frames"]
      if not 0 < cond_frames < num_frames:
        raise ValueError(
          f"config.tasks.frame_prediction.cond_frames={cond_frames} must be "
          f"between 1 and {num_frames - 1}, as clips have {num_frames} frames."
        )
      if fields["cond_latent_frames"] is None:
        fields["cond_latent_frames"] = -(-cond_frames // time_stride)
    built.append(Task(name, **fields))
  return tuple(task for task in built if task.weight > 0)


def make_task_order(
  tasks: Sequence[Task], rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
  """Task index of each training step, cycled: weight x 100 entries a task."""
  entries = np.repeat(
    np.arange(len(tasks)), [round(task.weight * 100) for task in tasks]
  )
  return rng.permutation(entries).astype(np.int32)


def add_prefix(
  vocab: vocabulary.Vocabulary,
  masked: masking.MaskedTokens,
  task_token: Int[Array, ""] | int,
  class_ids: Int[Array, "b"],
  uncond_task_token: Int[Array, ""] | int,
) -> masking.MaskedTokens:
  """Flattens token grids and puts task and class before them.

  Args:
    vocab: Layout of the ids.
    masked: Fields (b, t, h, w).
    task_token: Of the task; unused unless `vocab.multi_task`.
    class_ids: Ids of the class token, `vocab.no_class` where it is not given.
    uncond_task_token: Task token of the sequence for guidance.

  Returns:
    Fields (b, n); the prefix has weight 0 and is its own target.
  """
  b = masked.targets.shape[0]

  def join(task_column, class_column, grid, dtype):
    columns = [class_column]
    if vocab.multi_task:
      columns.insert(0, task_column)
    prefix = [jnp.broadcast_to(column, (b,))[:, None] for column in columns]
    flat = grid.reshape(b, -1)
    return jnp.concatenate([*prefix, flat], axis=1).astype(dtype)

  return masking.MaskedTokens(
    masked_inputs=join(task_token, class_ids, masked.masked_inputs, jnp.int32),
    uncond_masked_inputs=join(
      uncond_task_token, vocab.no_class, masked.uncond_masked_inputs, jnp.int32
    ),
    segment_ids=join(0, 0, masked.segment_ids, jnp.int32),
    targets=join(task_token, class_ids, masked.targets, jnp.int32),
    weights=join(0, 0, masked.weights, jnp.float32),
  )


def uncond_task_token(tasks: Sequence[Task], task: Task) -> int:
  """Task token of the sequence for guidance."""
  if any(other.name == "full_generation" for other in tasks):
    return vocabulary.TASK_TOKENS["full_generation"]
  return task.token
