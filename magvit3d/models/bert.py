"""BERT, the bidirectional transformer that fills in masked tokens.

BERT (https://arxiv.org/abs/1810.04805), post-norm, with the head's product
with the word embedding. Module names are upstream's.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from magvit3d.models import attention, products

LAYER_NORM_EPSILON = 1e-12
# Standard deviation .02, values beyond two of them drawn again. Dividing by
# the deviation of a normal cut there would widen it, which BERT does not.
POSITION_INITS = ("normal", "sinusoidal")
EMBEDDING_STDDEV = 0.02
_EMBEDDING_INIT = nn.initializers.truncated_normal(EMBEDDING_STDDEV)


def grid_position_init(
  prefix_length: int, grid: tuple[int, int, int]
) -> Callable[..., Array]:
  """Returns an initializer of position embeddings that knows the grid.

  Positions of the latents start at sines and cosines of their time, row and
  column, with periods from 4 cells to 8 times the axis, and about as large as
  the usual random values; the prefix starts at those. Neighbours are then
  alike from the first step on. The table is learned as ever.

  Args:
    prefix_length: Positions before the latents.
    grid: (t, h, w) of the latents.
  """
  axes = np.meshgrid(*map(np.arange, grid), indexing="ij")

  def init(rng, shape, dtype=jnp.float32):
    num_waves = shape[1] // 6
    columns = []
    for axis, size in zip(axes, grid, strict=True):
      shortest, longest = math.pi / 2, math.pi / 4 / size
      rates = np.geomspace(shortest, longest, num_waves)
      phase = axis.reshape(-1, 1) * rates
      columns += [np.sin(phase), np.cos(phase)]
    waves = np.concatenate(columns, axis=1) * math.sqrt(2) * EMBEDDING_STDDEV
    table = _EMBEDDING_INIT(rng, shape, dtype)
    rows = slice(prefix_length, prefix_length + len(waves))
    return table.at[rows, : waves.shape[1]].set(waves)

  return init


def _layer_norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name=name)


class BertEmbed(nn.Module):
  """Sum of word, position and (optional) segment embeddings, normalised."""

  vocab_size: int
  hidden_size: int
  max_position_embeddings: int
  num_segments: int = 0
  dropout_rate: float = 0.0
  position_init: Callable = _EMBEDDING_INIT

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
      nn.Embed, features=self.hidden_size, embedding_init=_EMBEDDING_INIT
    )
    words = embed(self.vocab_size, name="word_embeddings")
    x = words(jnp.where(ids < 0, ids + self.vocab_size, ids))
    positions = embed(
      self.max_position_embeddings,
      embedding_init=self.position_init,
      name="position_embeddings",
    )
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
  kernel_init: Callable

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    width = x.shape[-1]
    project = functools.partial(
      nn.DenseGeneral,
      features=(self.num_heads, width // self.num_heads),
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=products.keep_bias,
    )
    query, key, value = (
      project(name=name)(x).astype(self.dtype)
      for name in ("query", "key", "value")
    )
    rate = self.dropout_rate if train else 0.0
    rng = self.make_rng("dropout") if rate else None
    x = attention.attend(query, key, value, dropout_rate=rate, dropout_rng=rng)
    return nn.DenseGeneral(
      width,
      axis=(-2, -1),
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=products.keep_bias,
      name="out",
    )(x)


class BertAttention(nn.Module):
  """Self-attention, then dropout, sum and layer norm."""

  num_heads: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    attended = SelfAttention(
      self.num_heads,
      self.attention_dropout_rate,
      self.dtype,
      self.kernel_init,
      name="self_attention",
    )(x, train=train)
    attended = nn.Dropout(self.dropout_rate)(attended, deterministic=not train)
    return _layer_norm("attention_output_ln")(x + attended)


class BertMlp(nn.Module):
  """Two dense layers, then dropout, sum and layer norm."""

  mlp_dim: int
  dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    dense = functools.partial(
      nn.Dense,
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=products.keep_bias,
    )
    hidden = dense(self.mlp_dim, name="intermediate_output")(x)
    hidden = nn.gelu(hidden.astype(self.dtype), approximate=True)
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
  kernel_init: Callable

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    x = BertAttention(
      self.num_heads,
      self.dropout_rate,
      self.attention_dropout_rate,
      self.dtype,
      self.kernel_init,
    )(x, train=train)
    return BertMlp(
      self.mlp_dim, self.dropout_rate, self.dtype, self.kernel_init
    )(x, train=train)


class Bias(nn.Module):
  """Adds a learned vector to the last axis."""

  @nn.compact
  def __call__(self, x: Float[Array, "b n v"]) -> Float[Array, "b n v"]:
    bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
    return x + bias[None, None]


class BertMlmLayer(nn.Module):
  """Maps hidden states to a float32 logit for every id."""

  dtype: DTypeLike
  kernel_init: Callable

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], embedding: Float[Array, "v d"]
  ) -> Float[Array, "b n v"]:
    x = nn.Dense(
      embedding.shape[-1],
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=products.keep_bias,
      name="mlm_dense",
    )(x)
    x = nn.gelu(x.astype(self.dtype), approximate=True)
    x = _layer_norm("mlm_ln")(x)
    logits = products.matmul_to_float32(
      x.astype(self.dtype), embedding.T.astype(self.dtype)
    )
    return Bias(name="mlm_bias")(logits)


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
    kernel_init_stddev: Of the kernels' initial values, before they are cut at
      two deviations. .02 suits a width of 768; narrower networks attend to
      everything alike for long unless it is larger.
    position_init: Initializer of the position embeddings.
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
  kernel_init_stddev: float = 0.02
  position_init: Callable = _EMBEDDING_INIT
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
    kernel_init = nn.initializers.truncated_normal(self.kernel_init_stddev)
    x, embedding = BertEmbed(
      self.vocab_size,
      self.hidden_size,
      self.max_position_embeddings,
      self.num_segments,
      self.dropout_rate,
      self.position_init,
    )(ids, segment_ids, train=train)
    for _ in range(self.num_layers):
      x = BertLayer(
        self.num_heads,
        self.mlp_dim,
        self.dropout_rate,
        self.attention_dropout_rate,
        self.dtype,
        kernel_init,
      )(x, train=train)
    return BertMlmLayer(self.dtype, kernel_init)(x, embedding)

  @classmethod
  def from_config(
    cls,
    transformer: Mapping[str, Any],
    vocab_size: int,
    prefix_length: int,
    grid: tuple[int, int, int],
    dtype: DTypeLike = jnp.float32,
  ) -> "Bert":
    """Builds the network that `config.transformer` describes.

    Sequences are `prefix_length` positions and the latents of `grid`.
    """
    position_init = transformer.get("position_init", "normal")
    if position_init not in POSITION_INITS:
      raise ValueError(
        f"transformer.position_init={position_init!r} is unknown; use one of "
        f"{', '.join(POSITION_INITS)}."
      )
    return cls(
      vocab_size=vocab_size,
      hidden_size=transformer["hidden_size"],
      num_layers=transformer["num_layers"],
      num_heads=transformer["num_heads"],
      mlp_dim=transformer["mlp_dim"],
      max_position_embeddings=prefix_length + math.prod(grid),
      num_segments=transformer.get("num_segments", 0),
      dropout_rate=transformer.get("dropout_rate", 0.0),
      attention_dropout_rate=transformer.get("attention_dropout_rate", 0.0),
      kernel_init_stddev=transformer.get("kernel_init_stddev", 0.02),
      position_init=_EMBEDDING_INIT
      if position_init == "normal"
      else grid_position_init(prefix_length, grid),
      dtype=dtype,
    )
