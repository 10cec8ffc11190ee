"""What BERT's first layer reads: words, positions and what is added to them.

BERT (https://arxiv.org/abs/1810.04805). Module names are upstream's.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from magvit3d.models.bert_layers import layer_norm
from magvit3d.models.embeddings import EMBEDDING_INIT


class BertEmbed(nn.Module):
  """Sum of word, position and optional embeddings, normalised.

  Attributes:
    prefix_length: Positions that are there once in a sequence of several
      views; those behind are counted anew in each.
    tokens_per_position: Tokens whose embeddings a position adds up; each has
      its own part of the table.
  """

  vocab_size: int
  hidden_size: int
  max_position_embeddings: int
  num_segments: int = 0
  dropout_rate: float = 0.0
  position_init: Callable = EMBEDDING_INIT
  prefix_length: int = 0
  tokens_per_position: int = 1

  @nn.compact
  def __call__(
    self,
    ids: Int[Array, "b n *p"],
    segment_ids: Int[Array, "b n"] | None = None,
    camera: Float[Array, "b c t h w d"] | None = None,
    added: Float[Array, "b n d"] | None = None,
    first: Int[Array, ""] | int = 0,
    *,
    train: bool = False,
  ) -> tuple[Float[Array, "b n d"], Float[Array, "v d"]]:
    """Returns the embedded sequence and the word embedding table.

    Args:
      ids: Negative ones count from the end of the table, or of its part, as in
        Python.
      segment_ids: 0 everywhere if they are None.
      camera: What the tokens behind the prefix get of their cameras.
      added: What positions get besides.
      first: Where in a longer sequence the first position is.
      train: Whether dropout is on.
    """
    embed = functools.partial(
      nn.Embed, features=self.hidden_size, embedding_init=EMBEDDING_INIT
    )
    words = embed(self.vocab_size, name="word_embeddings")
    x = self._look_up(words, ids)
    positions = embed(
      self.max_position_embeddings,
      embedding_init=self.position_init,
      name="position_embeddings",
    )
    x += positions(first + self._position_ids(ids.shape[1]))[None]
    if self.num_segments:
      if segment_ids is None:
        segment_ids = jnp.zeros_like(ids)
      x += embed(self.num_segments, name="segment_embeddings")(segment_ids)
    if camera is not None:
      camera = camera.reshape(len(camera), -1, self.hidden_size)
      x = x.at[:, self.prefix_length :].add(camera)
    if added is not None:
      x += added
    x = layer_norm("embeddings_ln")(x)
    x = nn.Dropout(self.dropout_rate)(x, deterministic=not train)
    return x, words.embedding

  def _look_up(self, words: nn.Embed, ids: Array) -> Array:
    """Embeddings (b, n, d) of the tokens of each position."""
    if self.tokens_per_position == 1:
      return words(jnp.where(ids < 0, ids + self.vocab_size, ids))
    rows = self.vocab_size // self.tokens_per_position
    is_token = jax.nn.one_hot(jnp.where(ids < 0, ids + rows, ids), rows)
    # A product: gathering rows, and adding to them, is slow on CPU.
    return is_token.reshape(*ids.shape[:2], -1) @ words.embedding

  def _position_ids(self, length: int) -> np.ndarray:
    """One view after the other, each from the prefix's end on."""
    prefix = self.prefix_length
    per_view = self.max_position_embeddings - prefix
    index = np.arange(length)
    return np.where(index < prefix, index, prefix + (index - prefix) % per_view)
