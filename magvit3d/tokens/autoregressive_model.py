"""The autoregressive transformer with its vocabulary: sequences, generation."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from magvit3d.config.run import RunConfig
from magvit3d.config.tasks import SamplingConfig
from magvit3d.models.autoregressive_transformer import TransformerLM, make_step
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.tokens import autoregressive_decoding, vocabulary


class LanguageModel:
  """Learns clips of a class, token after token.

  Sequences are those of `autoregressive`. Data without labels have 0 classes
  and label 0, which is then the id of "no class".

  Args:
    config: The run's config; reads `vqvae`, `transformer`, `lmgvt` and
      `dtype`.
    num_classes: Classes of the data.
    latent_shape: Token grid (t, h, w).
  """

  def __init__(
    self,
    config: RunConfig,
    num_classes: int,
    latent_shape: Sequence[int],
  ):
    self.settings = config.lmgvt
    self.latent_shape = tuple(latent_shape)
    self.num_tokens = int(np.prod(self.latent_shape))
    self.vocabulary = vocabulary.Vocabulary(
      config.vqvae.codebook_size, num_classes, multi_task=False
    )
    dtype = jnp.dtype(config.dtype)
    self.transformer = TransformerLM.from_config(
      config.transformer,
      vocab_size=self.vocabulary.size,
      max_len=autoregressive_decoding.PREFIX_LENGTH + self.num_tokens,
      dtype=dtype,
    )
    self.tokenizer = Tokenizer.from_config(config.vqvae, dtype)

  def init_arguments(self) -> tuple:
    """Returns arguments of the transformer, for its parameters' shapes."""
    return (jnp.zeros((1, 1), jnp.int32),)

  @property
  def grid_shape(self) -> tuple[int, ...]:
    """Token grid of a sequence, (t, h, w)."""
    return self.latent_shape

  def encode(
    self, tokenizer_params: PyTree, clips: Float[Array, "b t h w 3"]
  ) -> Int[Array, "b s y x"]:
    """Tokenizes clips in [0, 1]."""
    variables = {"params": tokenizer_params}
    return self.tokenizer.apply(variables, clips, method="encode").tokens

  def sequence(
    self, tokens: Int[Array, "b t h w"], labels: Int[Array, " b"]
  ) -> Int[Array, "b n"]:
    """Whole sequences: start token, class id, codes."""
    return autoregressive_decoding.make_sequence(
      self._class_ids(labels), tokens
    )

  def logits(
    self,
    params: PyTree,
    sequence: Int[Array, "b n"],
    *,
    rngs: Mapping[str, PRNGKeyArray] | None = None,
  ) -> Float[Array, "b n v"]:
    """Logits of all ids after each position; dropout with `rngs`."""
    return self.transformer.apply(
      {"params": params}, sequence, train=rngs is not None, rngs=rngs
    )

  def generate(
    self,
    params: PyTree,
    rng: PRNGKeyArray,
    labels: Int[Array, " b"],
    given: Int[Array, "b s h w"] | None = None,
    sampling: SamplingConfig | None = None,
  ) -> Int[Array, "b t h w"]:
    """Draws token grids of the given classes.

    Args:
      params: Of the transformer.
      rng: Key of all draws.
      labels: Classes.
      given: First s < t latent frames, which the grids go on with.
      sampling: Temperature and what is cut off; None: as `lmgvt.sampling`.
    """
    sampling = sampling or self.settings.sampling
    prefix = autoregressive_decoding.make_prefix(self._class_ids(labels))
    if given is not None:
      given_row = given.reshape(len(given), -1).astype(prefix.dtype)
      prefix = jnp.concatenate([prefix, given_row], axis=1)
    num_given = prefix.shape[1] - autoregressive_decoding.PREFIX_LENGTH
    codes = autoregressive_decoding.sample(
      rng,
      make_step(self.transformer, params),
      prefix,
      self.num_tokens - num_given,
      codebook_size=self.vocabulary.codebook_size,
      sampling_temperature=sampling.temperature,
      top_k=sampling.top_k,
      top_p=sampling.top_p,
    )
    codes = jnp.concatenate(
      [prefix[:, autoregressive_decoding.PREFIX_LENGTH :], codes], axis=1
    )
    return codes.reshape(labels.shape[0], *self.latent_shape)

  def _class_ids(self, labels: Array) -> Array:
    return self.vocabulary.codebook_size + labels.astype(jnp.int32)
