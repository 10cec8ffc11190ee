"""BERT, the bidirectional transformer that fills in masked tokens.

BERT (https://arxiv.org/abs/1810.04805), post-norm, with the head's product
with the word embedding. Module names are upstream's.
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

LAYER_NORM_EPSILON = 1e-12
# Standard deviation .02, values beyond two of them drawn again. Dividing by
# the deviation of a normal cut there would widen it, which BERT does not.
_INIT = nn.initializers.truncated_normal(0.02)


def _layer_norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name=name)


class BertEmbed(nn.Module):
  """Sum of word, position and (optional) segment embeddings, normalised."""

  vocab_size: int
  hidden_size: int
  max_position_embeddings: int
  num_segments: int = 0
  dropout_rate: float = 0.0

  @nn.compact
  def __call__(
    self,
    ids: Int[Array, "b n"],
    segment_ids: Int[Array, "b n"] | None = None,
    *,
    train: bool = False,
  ) -> tuple[Float[Array, "b n d"], Float[Array, "v d"]]:
    """Returns the embedded sequence and the word embedding table.

    Negative ids count from the end of the table, as in Python.
    """
    embed = functools.partial(
      nn.Embed, features=self.hidden_size, embedding_init=_INIT
    )
    words = embed(self.vocab_size, name="word_embeddings")
    x = words(jnp.where(ids < 0, ids + self.vocab_size, ids))
    positions = embed(self.max_position_embeddings, name="position_embeddings")
    x += positions(jnp.arange(ids.shape[1]))[None]
    if self.num_segments:
      if segment_ids is None:
        segment_ids = jnp.zeros_like(ids)
      x += embed(self.num_segments, name="segment_embeddings")(segment_ids)
    x = _layer_norm("embeddings_ln")(x)
    x = nn.Dropout(self.dropout_rate)(x, deterministic=not train)
    return x, words.embedding


class SelfAttention(nn.Module):
  """Multi-head attention of every position to every position."""

  num_heads: int
  dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    width = x.shape[-1]
    project = functools.partial(
      nn.DenseGeneral,
      features=(self.num_heads, width // self.num_heads),
      kernel_init=_INIT,
      dtype=self.dtype,
    )
    query = project(name="query")(x)
    key = project(name="key")(x)
    value = project(name="value")(x)
    if train and self.dropout_rate > 0:
      x = nn.dot_product_attention(
        query,
        key,
        value,
        dropout_rng=self.make_rng("dropout"),
        dropout_rate=self.dropout_rate,
        deterministic=False,
        dtype=self.dtype,
      )
    else:
      x = jax.nn.dot_product_attention(query, key, value)
    return nn.DenseGeneral(
      width, axis=(-2, -1), kernel_init=_INIT, dtype=self.dtype, name="out"
    )(x)


class BertAttention(nn.Module):
  """Self-attention, then dropout, sum and layer norm."""

  num_heads: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    attended = SelfAttention(
      self.num_heads,
      self.attention_dropout_rate,
      self.dtype,
      name="self_attention",
    )(x, train=train)
    attended = nn.Dropout(self.dropout_rate)(attended, deterministic=not train)
    return _layer_norm("attention_output_ln")(x + attended)


class BertMlp(nn.Module):
  """Two dense layers, then dropout, sum and layer norm."""

  mlp_dim: int
  dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    dense = functools.partial(nn.Dense, kernel_init=_INIT, dtype=self.dtype)
    hidden = dense(self.mlp_dim, name="intermediate_output")(x)
    hidden = nn.gelu(hidden, approximate=True)
    hidden = dense(x.shape[-1], name="layer_output")(hidden)
    hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic=not train)
    return _layer_norm("layer_output_ln")(x + hidden)


class BertLayer(nn.Module):
  """One transformer layer."""

  num_heads: int
  mlp_dim: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    x = BertAttention(
      self.num_heads,
      self.dropout_rate,
      self.attention_dropout_rate,
      self.dtype,
    )(x, train=train)
    return BertMlp(self.mlp_dim, self.dropout_rate, self.dtype)(x, train=train)


class Bias(nn.Module):
  """Adds a learned vector to the last axis."""

  @nn.compact
  def __call__(self, x: Float[Array, "b n v"]) -> Float[Array, "b n v"]:
    bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
    return x + bias[None, None]


class BertMlmLayer(nn.Module):
  """Maps hidden states to a float32 logit for every id."""

  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], embedding: Float[Array, "v d"]
  ) -> Float[Array, "b n v"]:
    x = nn.Dense(
      embedding.shape[-1],
      kernel_init=_INIT,
      dtype=self.dtype,
      name="mlm_dense",
    )(x)
    x = _layer_norm("mlm_ln")(nn.gelu(x, approximate=True))
    logits = jnp.matmul(x.astype(self.dtype), embedding.T.astype(self.dtype))
    return Bias(name="mlm_bias")(logits.astype(jnp.float32))


class Bert(nn.Module):
  """Predicts the token at every position of a partly masked sequence.

  Attributes:
    vocab_size: Rows of the embedding table, v (all ids, special ones too).
    hidden_size: Width, d.
    num_layers: Number of layers.
    num_heads: Attention heads; divides `hidden_size`.
    mlp_dim: Width inside the MLPs.
    max_position_embeddings: Longest sequence, n.
    num_segments: Rows of the segment embedding; 0 leaves it out.
    dropout_rate: Of hidden states, in training.
    attention_dropout_rate: Of attention weights, in training.
    dtype: Type of the matrix products; layer norms and logits are float32.
  """

  vocab_size: int
  hidden_size: int
  num_layers: int
  num_heads: int
  mlp_dim: int
  max_position_embeddings: int
  num_segments: int = 0
  dropout_rate: float = 0.0
  attention_dropout_rate: float = 0.0
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    ids: Int[Array, "b n"],
    segment_ids: Int[Array, "b n"] | None = None,
    *,
    train: bool = False,
  ) -> Float[Array, "b n v"]:
    """Returns float32 logits over all ids.

    Args:
      ids: Token ids; negative ones index the table from its end.
      segment_ids: In [0, num_segments).
      train: Whether dropout is on (it draws from the rng "dropout").
    """
    x, embedding = BertEmbed(
      self.vocab_size,
      self.hidden_size,
      self.max_position_embeddings,
      self.num_segments,
      self.dropout_rate,
    )(ids, segment_ids, train=train)
    for _ in range(self.num_layers):
      x = BertLayer(
        self.num_heads,
        self.mlp_dim,
        self.dropout_rate,
        self.attention_dropout_rate,
        self.dtype,
      )(x, train=train)
    return BertMlmLayer(self.dtype)(x, embedding)

  @classmethod
  def from_config(
    cls,
    transformer: Mapping[str, Any],
    vocab_size: int,
    sequence_length: int,
    dtype: DTypeLike = jnp.float32,
  ) -> "Bert":
    """Builds the network that `config.transformer` describes."""
    return cls(
      vocab_size=vocab_size,
      hidden_size=transformer["hidden_size"],
      num_layers=transformer["num_layers"],
      num_heads=transformer["num_heads"],
      mlp_dim=transformer["mlp_dim"],
      max_position_embeddings=sequence_length,
      num_segments=transformer.get("num_segments", 0),
      dropout_rate=transformer.get("dropout_rate", 0.0),
      attention_dropout_rate=transformer.get("attention_dropout_rate", 0.0),
      dtype=dtype,
    )
