"""The masked transformer with its vocabulary and tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from magvit3d.models.bert import Bert
from magvit3d.models.vqvae import Tokenizer
from magvit3d.tokens import decoding, masking, tasks, vocabulary


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
    self.tasks = tasks.tasks_from_config(
      config["tasks"], num_frames, num_frames // self.latent_shape[0]
    )
    self.vocabulary = vocabulary.Vocabulary(
      config["vqvae"]["codebook_size"], num_classes, multi_task=True
    )
    self.num_tokens = int(np.prod(self.latent_shape))
    self.transformer = Bert.from_config(
      config["transformer"],
      vocab_size=self.vocabulary.size,
      prefix_length=self.vocabulary.prefix_length,
      grid=self.latent_shape,
      dtype=jnp.dtype(config["dtype"]),
    )
    self.tokenizer = Tokenizer.from_config(
      config["vqvae"], jnp.dtype(config["dtype"])
    )

  def tokenize(
    self,
    tokenizer_params: PyTree,
    clips: Float[Array, "b t h w 3"],
    labels: Int[Array, "b"],
  ) -> TokenBatch:
    """Tokenizes clips in [0, 1] and every task's view of them."""

    def encode(video):
      variables = {"params": tokenizer_params}
      return self.tokenizer.apply(variables, video, method="encode").tokens

    tokens = encode(clips)
    shown = [
      encode(task.condition_video(clips, self.latent_shape[0]))
      if task.has_condition
      else tokens
      for task in self.tasks
    ]
    return TokenBatch(tokens, jnp.stack(shown, axis=1), labels)

  def sequence(
    self,
    masked: masking.MaskedTokens,
    labels: Int[Array, "b"],
    task_index: Int[Array, ""] | int,
  ) -> masking.MaskedTokens:
    """Flattens token grids behind the prefix of one of `self.tasks`."""
    per_task = {
      "token": [task.token for task in self.tasks],
      "uncond": [tasks.uncond_task_token(self.tasks, t) for t in self.tasks],
      "has_class": [task.class_conditional for task in self.tasks],
    }
    chosen = {k: jnp.asarray(v)[task_index] for k, v in per_task.items()}
    vocab = self.vocabulary
    class_ids = jnp.where(
      chosen["has_class"], vocab.codebook_size + labels, vocab.no_class
    )
    return tasks.add_prefix(
      vocab, masked, chosen["token"], class_ids, chosen["uncond"]
    )

  def cond_mask(self, task_index: Int[Array, ""] | int) -> Array:
    """(1, t, h, w): where the task's condition tokens say something."""
    masks = [task.latent_mask(self.latent_shape) for task in self.tasks]
    return jnp.asarray(np.stack(masks))[task_index][None]

  def mask(
    self,
    batch: TokenBatch,
    task_index: Int[Array, ""] | int,
    mask_score: Float[Array, "b t h w"],
    ratio: Float[Array, ""] | float,
  ) -> masking.MaskedTokens:
    """Masks a batch for a task; fields (b, t, h, w)."""
    return masking.random_mask(
      batch.tokens,
      batch.cond_tokens[:, task_index],
      self.cond_mask(task_index),
      mask_score,
      ratio,
      self.settings["condition_mode"],
      self.settings["weight_mode"],
    )

  def logits(
    self,
    params: PyTree,
    sequence: masking.MaskedTokens,
    *,
    rngs: Mapping[str, PRNGKeyArray] | None = None,
  ) -> Float[Array, "b n k"]:
    """Logits over the codes at the latent positions; dropout with `rngs`."""
    logits = self.transformer.apply(
      {"params": params},
      sequence.masked_inputs,
      sequence.segment_ids if self.transformer.num_segments else None,
      train=rngs is not None,
      rngs=rngs,
    )
    return logits[..., : self.vocabulary.codebook_size]

  def generate(
    self,
    params: PyTree,
    rng: PRNGKeyArray,
    task_index: int,
    labels: Int[Array, "b"],
    cond_tokens: Int[Array, "b t h w"],
  ) -> Int[Array, "b t h w"]:
    """Decodes token grids for a task in `sampling.mask_bins` steps.

    `cond_tokens` is ignored by a task without condition.
    """
    sampling = self.settings["sampling"]
    shape = (labels.shape[0], *self.latent_shape)
    prefix = self.vocabulary.prefix_length

    def logits_fn(shown):
      sequence = self.sequence(shown, labels, task_index)
      logits = self.logits(params, sequence)[:, prefix:]
      return logits.reshape(*shape, -1)

    return decoding.decode(
      rng,
      logits_fn,
      shape,
      cond_tokens,
      self.cond_mask(task_index),
      condition_mode=self.settings["condition_mode"],
      num_iter=sampling["mask_bins"],
      schedule=self.settings["mask_schedule"],
      mask_temperature=sampling["choice_temperature"],
    )
