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
from magvit3d.models.vqvae import Tokenizer
from magvit3d.tokens import decoding, mask_scores, masking, tasks, vocabulary


@flax.struct.dataclass
class TokenBatch:
  """Tokens of clips and of what the tasks show of them, integers.

  Attributes:
    tokens: (b, t, h, w) of the clips; of JAX or, on the host, of NumPy.
    cond_tokens: (b, n, t, h, w) of the condition clips of n tasks; the clip's
      own tokens for a task without condition.
    labels: (b,) classes.
  """

  tokens: PyTree
  cond_tokens: PyTree
  labels: PyTree


class TokenModel:
  """The transformer with its vocabulary and tasks: masks, logits, decoding.

  Tasks are named by their index in `tasks`, which methods for training also
  take as a traced number.

  Args:
    config: The run's config; reads `vqvae`, `transformer`, `tasks`,
      `maskgvt`, `dtype` and `seed`.
    num_frames: Frames of a clip.
    num_classes: Classes of the data.
    latent_shape: Token grid (t, h, w).
  """

  def __init__(
    self,
    config: Mapping[str, Any],
    num_frames: int,
    num_classes: int,
    latent_shape: Sequence[int],
  ):
    self.settings = config["maskgvt"]
    self.latent_shape = tuple(latent_shape)
    self._configured = tasks.tasks_from_config(
      config["tasks"],
      self.settings["condition_mode"],
      num_frames,
      num_frames // self.latent_shape[0],
      has_inpainting_token=self.settings["inpainting_token"],
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
    self.num_tokens = int(np.prod(self.latent_shape))
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
    )
    self.tokenizer = Tokenizer.from_config(
      config["vqvae"], jnp.dtype(config["dtype"])
    )

  def encode(
    self, tokenizer_params: PyTree, clips: Float[Array, "b t h w 3"]
  ) -> Int[Array, "b s y x"]:
    """Tokenizes clips in [0, 1]."""
    variables = {"params": tokenizer_params}
    return self.tokenizer.apply(variables, clips, method="encode").tokens

  def tokenize(
    self,
    tokenizer_params: PyTree,
    clips: Float[Array, "b t h w 3"],
    labels: Int[Array, "b"],
  ) -> TokenBatch:
    """Tokenizes clips in [0, 1] and every task's view of them."""
    tokens = self.encode(tokenizer_params, clips)
    shown = [
      self.encode(tokenizer_params, task.condition_video(clips))
      if task.condition
      else tokens
      for task in self.tasks
    ]
    return TokenBatch(tokens, jnp.stack(shown, axis=1), labels)

  def condition_video(
    self, clips: Float[Array, "b t h w 3"], task_index: Int[Array, ""]
  ) -> Float[Array, "b t h w 3"]:
    """The clips as a task shows them."""
    views = [task.condition_video for task in self.tasks]
    return jax.lax.switch(task_index, views, clips)

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

  def cond_mask(self, task_index: Int[Array, ""] | int) -> Array:
    """(1, t, h, w): where the task's condition tokens say something."""
    masks = [task.latent_mask(self.latent_shape) for task in self.tasks]
    return jnp.asarray(np.stack(masks))[task_index][None]

  def make_scores(
    self, rng: PRNGKeyArray, batch_size: int, task_index: Int[Array, ""] | int
  ) -> Float[Array, "b t h w"]:
    """Draws the scores by which `mask` chooses."""
    shape = (batch_size, *self.latent_shape)
    is_maskable = jnp.stack(
      [
        jnp.broadcast_to(
          masking.is_maskable(self.cond_mask(i), task.mask_mode, shape), shape
        )
        for i, task in enumerate(self.tasks)
      ]
    )
    return mask_scores.make_scores(
      rng,
      is_maskable[task_index],
      self.settings["mask_type"],
      self.settings["mask_block_shape"],
    )

  def mask(
    self,
    tokens: Int[Array, "b t h w"],
    cond_tokens: Int[Array, "b t h w"],
    task_index: Int[Array, ""] | int,
    mask_score: Float[Array, "b t h w"],
    ratio: Float[Array, ""] | float,
  ) -> masking.MaskedTokens:
    """Masks tokens for a task; fields (b, t, h, w)."""
    modes = [task.mask_mode for task in self.tasks]
    distinct = sorted(set(modes), key=modes.index)

    def mask_as(mode, tokens, cond_tokens, cond_mask, score, ratio):
      return masking.random_mask(
        tokens,
        cond_tokens,
        cond_mask,
        score,
        ratio,
        mode,
        self.settings["weight_mode"],
      )

    return jax.lax.switch(
      jnp.asarray([distinct.index(mode) for mode in modes])[task_index],
      [functools.partial(mask_as, mode) for mode in distinct],
      tokens,
      cond_tokens,
      self.cond_mask(task_index),
      mask_score,
      ratio,
    )

  def logits(
    self,
    params: PyTree,
    sequence: masking.MaskedTokens,
    *,
    rngs: Mapping[str, PRNGKeyArray] | None = None,
  ) -> Float[Array, "b n k"]:
    """Logits over the codes at all positions; dropout with `rngs`."""
    return self._logits(
      params, sequence.masked_inputs, sequence.segment_ids, rngs
    )

  def _logits(self, params, ids, segment_ids, rngs=None):
    logits = self.transformer.apply(
      {"params": params},
      ids,
      segment_ids if self.transformer.num_segments else None,
      train=rngs is not None,
      rngs=rngs,
    )
    return logits[..., : self.vocabulary.codebook_size]

  def guided_logits(
    self, params: PyTree, sequence: masking.MaskedTokens, guidance: float
  ) -> Float[Array, "b n k"]:
    """Logits moved away from those without class and condition.

    Classifier-free guidance (https://arxiv.org/abs/2207.12598):
    logits + guidance x (logits - logits of `uncond_masked_inputs`).
    """
    logits = self.logits(params, sequence)
    if not guidance:
      return logits
    uncond = self._logits(
      params,
      sequence.uncond_masked_inputs,
      jnp.zeros_like(sequence.segment_ids),
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
    cond_mask: Bool[Array, "_ t h w"] | None = None,
    condition_mode: str | None = None,
  ) -> decoding.DecodingSteps:
    """Decodes token grids for a task in `sampling.mask_bins` steps.

    `cond_tokens` is ignored by a task without condition. `cond_mask`, of one
    clip or of each, and `condition_mode` take the place of the task's.
    """
    if cond_mask is None:
      cond_mask = self.cond_mask(task_index)
    sampling = self.settings["sampling"]
    shape = (labels.shape[0], *self.latent_shape)

    def logits_fn(shown):
      sequence = self.sequence(shown, labels, cond_tokens, task_index)
      logits = self.guided_logits(params, sequence, sampling["guidance"])
      return logits[:, self.prefix_length :].reshape(*shape, -1)

    return decoding.decode(
      rng,
      logits_fn,
      shape,
      cond_tokens,
      cond_mask,
      condition_mode=condition_mode or self.tasks[task_index].mask_mode,
      num_iter=sampling["mask_bins"],
      schedule=self.settings["mask_schedule"],
      mask_temperature=sampling["choice_temperature"],
      sampling_temperature=sampling["temperature"],
      top_k=sampling["top_k"],
      top_p=sampling["top_p"],
    )
