"""Layers of BERT: attention and MLP, each followed by a sum and a norm.

BERT (https://arxiv.org/abs/1810.04805), post-norm. Module names are upstream's.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.models import attention, mixed_precision

LAYER_NORM_EPSILON = 1e-12


def layer_norm(name: str) -> nn.LayerNorm:
  """Returns a layer norm with BERT's epsilon."""
  return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name=name)


class SelfAttention(nn.Module):
  """Multi-head attention of every position to every position."""

  num_heads: int
  dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable
  implementation: str | None = None

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
      promote_dtype=mixed_precision.keep_bias,
    )
    query, key, value = (
      project(name=name)(x).astype(self.dtype)
      for name in ("query", "key", "value")
    )
    rate = self.dropout_rate if train else 0.0
    rng = self.make_rng("dropout") if rate else None
    x = attention.attend(
      query,
      key,
      value,
      dropout_rate=rate,
      dropout_rng=rng,
      implementation=self.implementation,
    )
    return nn.DenseGeneral(
      width,
      axis=(-2, -1),
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=mixed_precision.keep_bias,
      name="out",
    )(x)


class BertAttention(nn.Module):
  """Self-attention, then dropout, sum and layer norm."""

  num_heads: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable
  attention_implementation: str | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], *, train: bool = False
  ) -> Float[Array, "b n d"]:
    attended = SelfAttention(
      self.num_heads,
      self.attention_dropout_rate,
      self.dtype,
      self.kernel_init,
      self.attention_implementation,
      name="self_attention",
    )(x, train=train)
    attended = nn.Dropout(self.dropout_rate)(attended, deterministic=not train)
    return layer_norm("attention_output_ln")(x + attended)


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
      promote_dtype=mixed_precision.keep_bias,
    )
    hidden = dense(self.mlp_dim, name="intermediate_output")(x)
    hidden = nn.gelu(hidden.astype(self.dtype), approximate=True)
    hidden = dense(x.shape[-1], name="layer_output")(hidden)
    hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic=not train)
    return layer_norm("layer_output_ln")(x + hidden)


class BertLayer(nn.Module):
  """One transformer layer."""

  num_heads: int
  mlp_dim: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable
  attention_implementation: str | None = None

  # No keywords: what is computed again in the backward pass takes none.
  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], train: bool = False
  ) -> Float[Array, "b n d"]:
    x = BertAttention(
      self.num_heads,
      self.dropout_rate,
      self.attention_dropout_rate,
      self.dtype,
      self.kernel_init,
      self.attention_implementation,
    )(x, train=train)
    return BertMlp(
      self.mlp_dim, self.dropout_rate, self.dtype, self.kernel_init
    )(x, train=train)
