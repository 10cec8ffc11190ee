"""A run's tasks on token grids: masks and sequences, without networks."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from magvit3d.config.run import RunConfig
from magvit3d.config.tasks import SamplingConfig
from magvit3d.tokens import (
  decoding,
  mask_scores,
  masking,
  tasks,
  views,
  vocabulary,
)

TaskIndex = Int[Array, "*b"] | int


class TaskSequences:
  """Tasks and vocabulary of a run, and how they hide and show tokens.

  Tasks are named by their index in `tasks`, which methods for training also
  take as a traced number, one for all clips or one for each, (b,).

  Args:
    config: The run's config; reads `vqvae`, `transformer`, `tasks` and
      `maskgvt`.
    num_frames: Frames of a clip.
    num_classes: Classes of the data.
    latent_shape: Token grid (t, h, w) of a view.

  Attributes:
    num_views: Views of a scene in a sequence, `transformer.num_views`.
    grid_shape: Token grid of all of them, (v*t, h, w).
    num_tokens: Tokens of it.
    prefix_length: Positions before them.
    gives_views: Whether a task gives whole views.
  """

  def __init__(
    self,
    config: RunConfig,
    num_frames: int,
    num_classes: int,
    latent_shape: Sequence[int],
  ):
    self.settings = config.maskgvt
    self.latent_shape = tuple(latent_shape)
    self.num_views = config.transformer.num_views
    if self.num_views > 1 and config.transformer.camera_embedding is None:
      raise ValueError(
        f"transformer.num_views={self.num_views} needs "
        "transformer.camera_embedding, 'view' or 'rays': without one, views "
        "cannot be told apart."
      )
    if self.num_views > 1 and self.settings.condition_mode == "prefix":
      raise ValueError(
        "maskgvt.condition_mode='prefix' is for transformer.num_views=1."
      )
    self.grid_shape = (
      self.num_views * self.latent_shape[0],
      *self.latent_shape[1:],
    )
    self._configured = tasks.tasks_from_config(
      config.tasks,
      self.settings.condition_mode,
      num_frames,
      num_frames // self.latent_shape[0],
      has_inpainting_token=self.settings.inpainting_token,
      num_views=self.num_views,
    )
    self.tasks = tuple(task for task in self._configured if task.weight > 0)
    if not self.tasks:
      raise ValueError(
        "config.tasks has no task with a weight above 0, so there is nothing "
        "to learn."
      )
    for task in self.tasks:
      decoding.check_order(self.sampling(task).order)
    self.vocabulary = vocabulary.Vocabulary(
      config.vqvae.codebook_size,
      num_classes,
      multi_task=self.settings.multi_task,
    )
    self.gives_views = any(task.num_given_views for task in self.tasks)
    self.num_tokens = int(np.prod(self.grid_shape))
    self.prefix_length = self.vocabulary.prefix_length
    if self.settings.condition_mode == "prefix":
      given = self.tasks[0].condition.cond_latent_frames
      self.prefix_length += given * int(np.prod(self.latent_shape[1:])) + 1

  def sampling(self, task: tasks.Task) -> SamplingConfig:
    """Returns `maskgvt.sampling` with what a task has in its place."""
    return self.settings.sampling.with_changes(task.sampling)

  def condition_video(
    self,
    clips: Float[Array, "b *v t h w 3"],
    task_index: TaskIndex,
  ) -> Float[Array, "b *v t h w 3"]:
    """The clips as a task shows them; given views as the others."""
    shown = [task.condition_video for task in self.tasks]
    return _by_task(task_index, shown, clips)

  def draw_given_views(
    self, rng: PRNGKeyArray, batch_size: int, task_index: TaskIndex
  ) -> Bool[Array, "b v"] | None:
    """Draws which views a task gives; None if no task gives any."""
    if not self.gives_views:
      return None
    counts = jnp.asarray([task.num_given_views for task in self.tasks])
    counts = jnp.broadcast_to(counts[task_index], batch_size)
    return views.draw_given_views(
      rng, batch_size, self.num_views, counts[:, None]
    )

  def sequence(
    self,
    masked: masking.MaskedTokens,
    labels: Int[Array, " b"],
    cond_tokens: Int[Array, "b t h w"],
    task_index: TaskIndex,
  ) -> masking.MaskedTokens:
    """Flattens token grids behind the prefix of a task."""
    per_task = {
      "token": [task.token for task in self.tasks],
      "uncond": [
        tasks.uncond_task_token(self._configured, task) for task in self.tasks
      ],
      "has_class": [task.class_conditional for task in self.tasks],
    }
    chosen = {k: jnp.asarray(v)[task_index] for k, v in per_task.items()}
    vocab = self.vocabulary
    class_ids = jnp.where(
      chosen["has_class"], vocab.codebook_size + labels, vocab.no_class
    )
    return tasks.add_prefix(
      vocab,
      masked,
      chosen["token"],
      class_ids,
      chosen["uncond"],
      # Other tasks than the only one of 'prefix' mode have none.
      self.tasks[0].prefix_tokens(cond_tokens),
    )

  def kept(self, is_given: Bool[Array, "b v"] | None) -> Array | None:
    """Where tokens are given exactly, (b, v*t, 1, 1); None for nowhere."""
    if is_given is None:
      return None
    return views.in_given_views(is_given, self.latent_shape[0])

  def cond_mask(
    self,
    task_index: TaskIndex,
    is_given: Bool[Array, "b v"] | None = None,
    num_views: int | None = None,
  ) -> Bool[Array, "b t h w"]:
    """Where the task's condition tokens say something.

    Args:
      task_index: Of the task.
      is_given: Which views are given, if any; else b is 1.
      num_views: None: as many as in training.
    """
    masks = [task.latent_mask(self.latent_shape) for task in self.tasks]
    mask = jnp.asarray(np.stack(masks))[task_index]
    mask = mask.reshape(-1, *self.latent_shape)
    mask = views.in_all_views(mask, num_views or self.num_views)
    return mask if is_given is None else mask | self.kept(is_given)

  def make_scores(
    self,
    rng: PRNGKeyArray,
    batch_size: int,
    task_index: TaskIndex,
    is_given: Bool[Array, "b v"] | None = None,
  ) -> Float[Array, "b t h w"]:
    """Draws the scores by which `mask` chooses."""
    shape = (batch_size, *self.grid_shape)
    is_maskable = jnp.stack(
      [
        jnp.broadcast_to(
          masking.is_maskable(
            self.cond_mask(i, is_given),
            task.mask_mode,
            shape,
            self.kept(is_given),
          ),
          shape,
        )
        for i, task in enumerate(self.tasks)
      ]
    )
    rows = jnp.arange(batch_size)
    return mask_scores.make_scores(
      rng,
      is_maskable[task_index, rows],
      self.settings.mask_type,
      self.settings.mask_block_shape,
      self.num_views,
    )

  def mask(
    self,
    tokens: Int[Array, "b t h w"],
    cond_tokens: Int[Array, "b t h w"],
    task_index: TaskIndex,
    mask_score: Float[Array, "b t h w"],
    ratio: Float[Array, "*b"] | float,
    is_given: Bool[Array, "b v"] | None = None,
  ) -> masking.MaskedTokens:
    """Masks tokens for a task; fields (b, t, h, w).

    Views that are given are never masked.
    """
    modes = [task.mask_mode for task in self.tasks]
    distinct = sorted(set(modes), key=modes.index)
    kept = self.kept(is_given)
    if kept is not None:
      cond_tokens = jnp.where(kept, tokens, cond_tokens)

    def mask_as(mode, tokens, cond_tokens, cond_mask, score, ratio, kept):
      return masking.random_mask(
        tokens,
        cond_tokens,
        cond_mask,
        score,
        ratio,
        mode,
        self.settings.weight_mode,
        kept,
      )

    return _by_task(
      jnp.asarray([distinct.index(mode) for mode in modes])[task_index],
      [functools.partial(mask_as, mode) for mode in distinct],
      tokens,
      cond_tokens,
      self.cond_mask(task_index, is_given),
      mask_score,
      ratio,
      kept,
    )


def _by_task(
  index: TaskIndex, functions: Sequence[Callable], *arguments: PyTree
) -> PyTree:
  """Returns what the function of each clip's task, or of all, makes of them."""
  if jnp.ndim(index) == 0:
    return jax.lax.switch(index, functions, *arguments)
  made = [function(*arguments) for function in functions]

  def choose(*values):
    chosen = values[0]
    rows = index.reshape(-1, *[1] * (chosen.ndim - 1))
    for number, value in enumerate(values[1:], start=1):
      chosen = jnp.where(rows == number, value, chosen)
    return chosen

  return jax.tree.map(choose, *made)
