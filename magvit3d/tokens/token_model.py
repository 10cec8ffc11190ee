"""The masked transformer with its vocabulary and tasks."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from magvit3d.models.bert import Bert
from magvit3d.models.cameras import Cameras, plucker_rays
from magvit3d.models.vqvae import Tokenizer
from magvit3d.tokens import (
  decoding,
  mask_scores,
  masking,
  tasks,
  views,
  vocabulary,
)


@flax.struct.dataclass
class TokenBatch:
  """Tokens of clips and of what the tasks show of them, integers.

  Grids (t, h, w) of several views stand behind one another along t.

  Attributes:
    tokens: (b, t, h, w) of the clips; of JAX or, on the host, of NumPy.
    cond_tokens: (b, n, t, h, w) of the condition clips of n tasks; the clip's
      own tokens for a task without condition.
    labels: (b,) classes.
    cameras: Of scenes with several views, else None.
  """

  tokens: PyTree
  cond_tokens: PyTree
  labels: PyTree
  cameras: Cameras | None = None


class TokenModel:
  """The transformer with its vocabulary and tasks: masks, logits, decoding.

  Tasks are named by their index in `tasks`, which methods for training also
  take as a traced number.

  Args:
    config: The run's config; reads `vqvae`, `transformer`, `tasks`,
      `maskgvt`, `dtype` and `seed`.
    num_frames: Frames of a clip.
    num_classes: Classes of the data.
    latent_shape: Token grid (t, h, w) of a view.
    num_cameras: Of the data's rig, for `transformer.camera_embedding='view'`.
    image_size: Height and width of the images, pixels; for 'rays'.

  Attributes:
    num_views: Views of a scene in a sequence, `transformer.num_views`.
    grid_shape: Token grid of all of them, (v*t, h, w).
  """

  def __init__(
    self,
    config: Mapping[str, Any],
    num_frames: int,
    num_classes: int,
    latent_shape: Sequence[int],
    *,
    num_cameras: int = 1,
    image_size: int | None = None,
  ):
    self.settings = config["maskgvt"]
    self.latent_shape = tuple(latent_shape)
    self._image_size = image_size
    self.num_views = config["transformer"].get("num_views", 1)
    embedding = config["transformer"].get("camera_embedding")
    if self.num_views > 1 and embedding is None:
      raise ValueError(
        f"transformer.num_views={self.num_views} needs "
        "transformer.camera_embedding, 'view' or 'rays': without one, views "
        "cannot be told apart."
      )
    if self.num_views > 1 and self.settings["condition_mode"] == "prefix":
      raise ValueError(
        "maskgvt.condition_mode='prefix' is for transformer.num_views=1."
      )
    self.grid_shape = (
      self.num_views * self.latent_shape[0],
      *self.latent_shape[1:],
    )
    mask_scores.parse_mask_types(self.settings["mask_type"])
    self._configured = tasks.tasks_from_config(
      config["tasks"],
      self.settings["condition_mode"],
      num_frames,
      num_frames // self.latent_shape[0],
      has_inpainting_token=self.settings["inpainting_token"],
      num_views=self.num_views,
    )
    self.tasks = tuple(task for task in self._configured if task.weight > 0)
    if not self.tasks:
      raise ValueError(
        "config.tasks has no task with a weight above 0, so there is nothing "
        "to learn."
      )
    self.vocabulary = vocabulary.Vocabulary(
      config["vqvae"]["codebook_size"],
      num_classes,
      multi_task=self.settings["multi_task"],
    )
    self.gives_views = any(task.num_given_views for task in self.tasks)
    self.num_tokens = int(np.prod(self.grid_shape))
    self.prefix_length = self.vocabulary.prefix_length
    if self.settings["condition_mode"] == "prefix":
      given = self.tasks[0].condition.cond_latent_frames
      self.prefix_length += given * int(np.prod(self.latent_shape[1:])) + 1
    self.transformer = Bert.from_config(
      config["transformer"],
      vocab_size=self.vocabulary.size,
      prefix_length=self.prefix_length,
      grid=self.latent_shape,
      dtype=jnp.dtype(config["dtype"]),
      num_cameras=num_cameras,
    )
    self.tokenizer = Tokenizer.from_config(
      config["vqvae"], jnp.dtype(config["dtype"])
    )

  def init_arguments(self) -> tuple:
    """Returns arguments of the transformer, for its parameters' shapes."""
    ids = jnp.zeros((1, self.prefix_length + self.num_tokens), jnp.int32)
    eye = jnp.broadcast_to(jnp.eye(3), (1, self.num_views, 3, 3))
    cameras = Cameras(
      views=jnp.zeros((1, self.num_views), jnp.int32),
      intrinsics=eye,
      camera_from_world=jnp.pad(eye, [(0, 0)] * 3 + [(0, 1)]),
    )
    return ids, None, self._camera_argument(cameras)

  def encode(
    self, tokenizer_params: PyTree, clips: Float[Array, "b *v t h w 3"]
  ) -> Int[Array, "b s y x"]:
    """Tokenizes clips in [0, 1]; those of several views into one grid."""
    variables = {"params": tokenizer_params}
    tokens = self.tokenizer.apply(
      variables, _as_clips(clips), method="encode"
    ).tokens
    return tokens.reshape(clips.shape[0], -1, *tokens.shape[2:])

  def tokenize(
    self,
    tokenizer_params: PyTree,
    clips: Float[Array, "b *v t h w 3"],
    labels: Int[Array, "b"],
    cameras: Cameras | None = None,
  ) -> TokenBatch:
    """Tokenizes clips in [0, 1] and every task's view of them."""
    tokens = self.encode(tokenizer_params, clips)
    shown = [
      self.encode(tokenizer_params, _shown(task, clips))
      if task.condition
      else tokens
      for task in self.tasks
    ]
    return TokenBatch(tokens, jnp.stack(shown, axis=1), labels, cameras)

  def condition_video(
    self,
    clips: Float[Array, "b *v t h w 3"],
    task_index: Int[Array, ""] | int,
  ) -> Float[Array, "b *v t h w 3"]:
    """The clips as a task shows them; given views as the others."""
    shown = [functools.partial(_shown, task) for task in self.tasks]
    return jax.lax.switch(task_index, shown, clips)

  def draw_given_views(
    self, rng: PRNGKeyArray, batch_size: int, task_index: Int[Array, ""] | int
  ) -> Bool[Array, "b v"] | None:
    """Draws which views a task gives; None if no task gives any."""
    if not self.gives_views:
      return None
    counts = jnp.asarray([task.num_given_views for task in self.tasks])
    return views.draw_given_views(
      rng, batch_size, self.num_views, counts[task_index]
    )

  def sequence(
    self,
    masked: masking.MaskedTokens,
    labels: Int[Array, "b"],
    cond_tokens: Int[Array, "b t h w"],
    task_index: Int[Array, ""] | int,
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

  def _kept(self, is_given: Bool[Array, "b v"] | None) -> Array | None:
    """Where tokens are given exactly, (b, v*t, 1, 1)."""
    if is_given is None:
      return None
    return views.in_given_views(is_given, self.latent_shape[0])

  def cond_mask(
    self,
    task_index: Int[Array, ""] | int,
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
    mask = jnp.asarray(np.stack(masks))[task_index][None]
    mask = views.in_all_views(mask, num_views or self.num_views)
    return mask if is_given is None else mask | self._kept(is_given)

  def make_scores(
    self,
    rng: PRNGKeyArray,
    batch_size: int,
    task_index: Int[Array, ""] | int,
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
            self._kept(is_given),
          ),
          shape,
        )
        for i, task in enumerate(self.tasks)
      ]
    )
    return mask_scores.make_scores(
      rng,
      is_maskable[task_index],
      self.settings["mask_type"],
      self.settings["mask_block_shape"],
      self.num_views,
    )

  def mask(
    self,
    tokens: Int[Array, "b t h w"],
    cond_tokens: Int[Array, "b t h w"],
    task_index: Int[Array, ""] | int,
    mask_score: Float[Array, "b t h w"],
    ratio: Float[Array, ""] | float,
    is_given: Bool[Array, "b v"] | None = None,
  ) -> masking.MaskedTokens:
    """Masks tokens for a task; fields (b, t, h, w).

    Views that are given are never masked.
    """
    modes = [task.mask_mode for task in self.tasks]
    distinct = sorted(set(modes), key=modes.index)
    kept = self._kept(is_given)
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
        self.settings["weight_mode"],
        kept,
      )

    return jax.lax.switch(
      jnp.asarray([distinct.index(mode) for mode in modes])[task_index],
      [functools.partial(mask_as, mode) for mode in distinct],
      tokens,
      cond_tokens,
      self.cond_mask(task_index, is_given),
      mask_score,
      ratio,
      kept,
    )

  def logits(
    self,
    params: PyTree,
    sequence: masking.MaskedTokens,
    cameras: Cameras | None = None,
    *,
    rngs: Mapping[str, PRNGKeyArray] | None = None,
  ) -> Float[Array, "b n k"]:
    """Logits over the codes at all positions; dropout with `rngs`."""
    return self._logits(
      params, sequence.masked_inputs, sequence.segment_ids, cameras, rngs
    )

  def _logits(self, params, ids, segment_ids, cameras, rngs=None):
    logits = self.transformer.apply(
      {"params": params},
      ids,
      segment_ids if self.transformer.num_segments else None,
      self._camera_argument(cameras),
      train=rngs is not None,
      rngs=rngs,
    )
    return logits[..., : self.vocabulary.codebook_size]

  def _camera_argument(self, cameras: Cameras | None) -> Array | None:
    """What the network reads of the cameras."""
    if self.transformer.camera_embedding is None:
      return None
    if cameras is None:
      raise ValueError(
        "transformer.camera_embedding="
        f"{self.transformer.camera_embedding!r} needs the cameras."
      )
    if self.transformer.camera_embedding == "view":
      return cameras.views
    return plucker_rays(
      cameras.intrinsics,
      cameras.camera_from_world,
      self.latent_shape[1:],
      self._image_size,
    )

  def guided_logits(
    self,
    params: PyTree,
    sequence: masking.MaskedTokens,
    guidance: float,
    cameras: Cameras | None = None,
  ) -> Float[Array, "b n k"]:
    """Logits moved away from those without class and condition.

    Classifier-free guidance (https://arxiv.org/abs/2207.12598):
    logits + guidance x (logits - logits of `uncond_masked_inputs`). Views that
    are given exactly, and cameras, are in both.
    """
    logits = self.logits(params, sequence, cameras)
    if not guidance:
      return logits
    uncond = self._logits(
      params,
      sequence.uncond_masked_inputs,
      jnp.zeros_like(sequence.segment_ids),
      cameras,
    )
    return logits + guidance * (logits - uncond)

  def generate(
    self,
    params: PyTree,
    rng: PRNGKeyArray,
    task_index: int,
    labels: Int[Array, "b"],
    cond_tokens: Int[Array, "b t h w"],
    *,
    cameras: Cameras | None = None,
    is_given: Bool[Array, "b v"] | None = None,
    cond_mask: Bool[Array, "_ t h w"] | None = None,
    condition_mode: str | None = None,
  ) -> decoding.DecodingSteps:
    """Decodes token grids for a task in `sampling.mask_bins` steps.

    Args:
      params: Of the transformer.
      rng: Key of all draws.
      task_index: Of the task.
      labels: Classes; ignored by a task without.
      cond_tokens: Ignored by a task without condition. In given views, the
        views' own tokens.
      cameras: Of the views, as many as there shall be; None without
        `transformer.camera_embedding`.
      is_given: Which views are given; None for none.
      cond_mask: Takes the place of the task's, if given.
      condition_mode: Takes the place of the task's, if given.
    """
    sampling = self.settings["sampling"]
    num_views = self.num_views if cameras is None else cameras.views.shape[1]
    if cond_mask is None:
      cond_mask = self.cond_mask(task_index, is_given, num_views)
    shape = (
      labels.shape[0],
      num_views * self.latent_shape[0],
      *self.latent_shape[1:],
    )

    def logits_fn(shown):
      sequence = self.sequence(shown, labels, cond_tokens, task_index)
      logits = self.guided_logits(
        params, sequence, sampling["guidance"], cameras
      )
      return logits[:, self.prefix_length :].reshape(*shape, -1)

    return decoding.decode(
      rng,
      logits_fn,
      shape,
      cond_tokens,
      cond_mask,
      kept=self._kept(is_given),
      condition_mode=condition_mode or self.tasks[task_index].mask_mode,
      num_iter=sampling["mask_bins"],
      schedule=self.settings["mask_schedule"],
      mask_temperature=sampling["choice_temperature"],
      sampling_temperature=sampling["temperature"],
      top_k=sampling["top_k"],
      top_p=sampling["top_p"],
    )


def _as_clips(clips: Float[Array, "b *v t h w 3"]) -> Array:
  return clips.reshape(-1, *clips.shape[-4:])


def _shown(task: tasks.Task, clips: Float[Array, "b *v t h w 3"]) -> Array:
  """The clips as a task shows each."""
  return task.condition_video(_as_clips(clips)).reshape(clips.shape)
