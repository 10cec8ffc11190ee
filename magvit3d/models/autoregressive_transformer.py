"""Autoregressive transformer: predicts the next token from those before it.

Causal self-attention, pre-norm. Nothing is shifted inside: logits at position
i are those of the token at i + 1, and whoever calls puts the start token
(MASK, id -1) in front. Module names are upstream's.

Decoding: with `decode=True` the network reads only the tokens that are new and
keeps keys and values of the earlier ones in the variable collection "cache"
(see `make_step`).
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from magvit3d.config.networks import AutoregressiveTransformerConfig
from magvit3d.models import attention, mixed_precision

LAYER_NORM_EPSILON = 1e-6
_KERNEL_INIT = nn.initializers.xavier_uniform()
_LONGEST_WAVE = 10_000.0


def sinusoids(max_len: int, width: int) -> np.ndarray:
  """Fixed positions (max_len, width): sines, then cosines, float32.

  Radians a position fall geometrically from 1 to 1 / 10 000 over the columns
  of each half (Vaswani et al., https://arxiv.org/abs/1706.03762, section 3.5).
  An odd width leaves the last column 0.
  """
  num_waves = width // 2
  rates = np.geomspace(1.0, 1 / _LONGEST_WAVE, num_waves)
  phases = np.arange(max_len)[:, None] * rates[None]
  table = np.zeros((max_len, width), np.float32)
  table[:, :num_waves] = np.sin(phases)
  table[:, num_waves : 2 * num_waves] = np.cos(phases)
  return table


class PositionEmbeddings(nn.Module):
  """Adds to each token what its position is.

  Attributes:
    max_len: Longest sequence.
    is_learned: Whether positions are parameters; else `sinusoids`.
  """

  max_len: int
  is_learned: bool

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], start: Int[Array, ""] | int
  ) -> Float[Array, "b n d"]:
    """`start` is the position of the first of the n tokens."""
    shape = (1, self.max_len, x.shape[-1])
    if self.is_learned:
      init = nn.initializers.normal(stddev=0.02)
      table = self.param("embed_pos", init, shape)
    else:
      table = jnp.asarray(sinusoids(*shape[1:]))[None]
    return x + jax.lax.dynamic_slice_in_dim(table, start, x.shape[1], axis=1)


class SelfAttention(nn.Module):
  """Multi-head attention to the positions up to the own one, without biases.

  Attributes:
    num_heads: Heads; divides `qkv_dim`.
    qkv_dim: Width of queries, keys and values, all heads together.
    max_len: Longest sequence, the length of the cache.
    dropout_rate: Of attention weights, in training.
    dtype: Type of the products.
  """

  num_heads: int
  qkv_dim: int
  max_len: int
  dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "b n d"],
    start: Int[Array, ""] | int,
    *,
    train: bool = False,
    decode: bool = False,
  ) -> Float[Array, "b n d"]:
    dense = functools.partial(
      nn.DenseGeneral,
      use_bias=False,
      kernel_init=_KERNEL_INIT,
      dtype=self.dtype,
    )
    heads = (self.num_heads, self.qkv_dim // self.num_heads)
    query, key, value = (
      dense(heads, name=name)(x) for name in ("query", "key", "value")
    )
    is_seen = None
    if decode:
      key = self._remember("cached_key", key, start)
      value = self._remember("cached_value", value, start)
      query_positions = start + jnp.arange(x.shape[1])
      is_seen = jnp.arange(key.shape[1])[None] <= query_positions[:, None]
      is_seen = is_seen[None, None]  # For all clips and heads.
    rate = self.dropout_rate if train else 0.0
    attended = attention.attend(
      query,
      key,
      value,
      mask=is_seen,
      is_causal=not decode,
      dropout_rate=rate,
      dropout_rng=self.make_rng("dropout") if rate else None,
    )
    return dense(x.shape[-1], axis=(-2, -1), name="out")(attended)

  def _remember(self, name: str, new: Array, start: Array | int) -> Array:
    """Writes (b, n, ...) into the cache at `start`; returns all of it."""
    shape = (new.shape[0], self.max_len, *new.shape[2:])
    cached = self.variable("cache", name, jnp.zeros, shape, new.dtype)
    cached.value = jax.lax.dynamic_update_slice_in_dim(
      cached.value, new, start, axis=1
    )
    return cached.value


class MlpBlock(nn.Module):
  """Two dense layers."""

  mlp_dim: int
  dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    dense = functools.partial(
      nn.Dense,
      kernel_init=_KERNEL_INIT,
      dtype=self.dtype,
      promote_dtype=mixed_precision.keep_bias,
    )
    hidden = dense(self.mlp_dim)(x).astype(self.dtype)
    hidden = jax.checkpoint(nn.gelu)(hidden)  # Slopes are not kept.
    hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic=not train)
    return dense(x.shape[-1])(hidden)


class TransformerLayer(nn.Module):
  """Attention and MLP, each on normalised input and added to what came in."""

  num_heads: int
  qkv_dim: int
  mlp_dim: int
  max_len: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "b n d"],
    start: Int[Array, ""] | int,
    *,
    train: bool = False,
    decode: bool = False,
  ) -> Float[Array, "b n d"]:
    attended = SelfAttention(
      self.num_heads,
      self.qkv_dim,
      self.max_len,
      self.attention_dropout_rate,
      self.dtype,
    )(nn.LayerNorm(LAYER_NORM_EPSILON)(x), start, train=train, decode=decode)
    x += nn.Dropout(self.dropout_rate)(attended, deterministic=not train)
    normed = nn.LayerNorm(LAYER_NORM_EPSILON)(x)
    return x + MlpBlock(self.mlp_dim, self.dropout_rate, self.dtype)(
      normed, train=train
    )


class TransformerLM(nn.Module):
  """Predicts every next token of a sequence.

  Attributes:
    vocab_size: Rows of the embedding table (all ids, special ones too).
    emb_dim: Width, d.
    num_heads: Attention heads; divides `qkv_dim`.
    num_layers: Number of layers.
    qkv_dim: Width of queries, keys and values, all heads together.
    mlp_dim: Width inside the MLPs.
    max_len: Longest sequence, and length of the cache.
    output_vocab_size: Number of logits; None for `vocab_size`, which it is
      anyway with `logits_via_embedding`.
    logits_via_embedding: Whether logits are products with the word embedding,
      divided by sqrt(d); else a dense layer makes them.
    learnable_position: Whether positions are learned; else sinusoids.
    dropout_rate: Of hidden states, in training.
    attention_dropout_rate: Of attention weights, in training.
    dtype: Type of the matrix products; layer norms, the sum that runs through
      the layers, and logits are float32.
  """

  vocab_size: int
  emb_dim: int
  num_heads: int
  num_layers: int
  qkv_dim: int
  mlp_dim: int
  max_len: int
  output_vocab_size: int | None = None
  logits_via_embedding: bool = False
  learnable_position: bool = True
  dropout_rate: float = 0.0
  attention_dropout_rate: float = 0.0
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    ids: Int[Array, "b n"],
    *,
    train: bool = False,
    decode: bool = False,
  ) -> Float[Array, "b n v"]:
    """Returns float32 logits of the token after each one.

    Args:
      ids: Token ids; negative ones index the table from its end.
      train: Whether dropout is on (it draws from the rng "dropout").
      decode: Whether `ids` continue the sequence in the collection "cache",
        which must be mutable; without one a sequence begins.

    Raises:
      ValueError: `ids` are longer than `max_len`, or heads of different widths
        would result.
    """
    if ids.shape[1] > self.max_len:
      raise ValueError(
        f"Got a sequence of {ids.shape[1]} tokens, but the transformer has "
        f"max_len={self.max_len} positions."
      )
    if self.qkv_dim % self.num_heads:
      raise ValueError(
        f"transformer.qkv_dim={self.qkv_dim} is not a multiple of "
        f"transformer.num_heads={self.num_heads}; every head gets an equal "
        "share."
      )
    start = 0
    if decode:
      num_read = self.variable("cache", "num_read", jnp.zeros, (), jnp.int32)
      start = num_read.value
      num_read.value = start + ids.shape[1]
    words = nn.Embed(
      self.vocab_size,
      self.emb_dim,
      embedding_init=nn.initializers.normal(stddev=1.0),
      name="Embed_0",
    )
    x = words(jnp.where(ids < 0, ids + self.vocab_size, ids))
    x = nn.Dropout(self.dropout_rate)(x, deterministic=not train)
    x = PositionEmbeddings(self.max_len, self.learnable_position)(x, start)
    for i in range(self.num_layers):
      x = TransformerLayer(
        self.num_heads,
        self.qkv_dim,
        self.mlp_dim,
        self.max_len,
        self.dropout_rate,
        self.attention_dropout_rate,
        self.dtype,
        name=f"VTNLayer_{i}",
      )(x, start, train=train, decode=decode)
    x = nn.LayerNorm(LAYER_NORM_EPSILON, name="decoder_out_ln")(x)
    if self.logits_via_embedding:
      table = words.embedding.astype(self.dtype)
      logits = mixed_precision.matmul_to_float32(x.astype(self.dtype), table.T)
      return logits / np.float32(np.sqrt(self.emb_dim))
    return nn.Dense(
      self.output_vocab_size or self.vocab_size,
      kernel_init=_KERNEL_INIT,
      dtype=self.dtype,
      promote_dtype=mixed_precision.keep_bias,
      dot_general=mixed_precision.dot_to_float32,
      name="logits_dense",
    )(x)

  @classmethod
  def from_config(
    cls,
    transformer: AutoregressiveTransformerConfig,
    vocab_size: int,
    max_len: int,
    dtype: DTypeLike = jnp.float32,
  ) -> "TransformerLM":
    """Builds the network that `config.transformer` describes."""
    fields = dict(vars(transformer))
    del fields["latent_shape"]
    return cls(vocab_size=vocab_size, max_len=max_len, dtype=dtype, **fields)


def make_step(
  model: TransformerLM, params: PyTree
) -> Callable[[PyTree, Array], tuple[Array, PyTree]]:
  """Returns `(cache, ids) -> (logits, cache)`, which reads on in a sequence.

  `ids` are the next tokens, (b, n); the logits, (b, n, v), those of the token
  after each. A cache of None begins a sequence. No more than `model.max_len`
  tokens may be read; what happens then is undefined.
  """

  def step(cache, ids):
    variables = {"params": params}
    if cache is not None:
      variables["cache"] = cache
    logits, updated = model.apply(
      variables, ids, decode=True, mutable=["cache"]
    )
    return logits, updated["cache"]

  return step
