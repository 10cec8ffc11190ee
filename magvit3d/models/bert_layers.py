"""Layers of BERT: attention and MLP, each followed by a sum and a norm.

BERT (https://arxiv.org/abs/1810.04805), post-norm. Module names are upstream's.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

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
    self,
    x: Float[Array, "b n d"],
    mask: Bool[Array, "_ _ n m"] | None = None,
    start: Int[Array, ""] | int | None = None,
    *,
    train: bool = False,
  ) -> Float[Array, "b n d"]:
    """Returns what each position gathers.

    Args:
      x: Positions.
      mask: False where a position (third axis) does not see another one.
      start: Of the first position in a sequence of `m`, whose other keys and
        values are in the collection "cache", and get those of `x`; None: there
        are no others.
      train: Whether dropout is on.
    """
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
    if start is not None:
      assert mask is not None
      length = mask.shape[-1]
      key = self._remember("cached_key", key, start, length)
      value = self._remember("cached_value", value, start, length)
    rate = self.dropout_rate if train else 0.0
    rng = self.make_rng("dropout") if rate else None
    x = attention.attend(
      query,
      key,
      value,
      mask=mask,
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

  def _remember(
    self, name: str, new: Array, start: Array | int, length: int
  ) -> Array:
    """Writes (b, n, ...) into the cache at `start`; returns all of it."""
    shape = (new.shape[0], length, *new.shape[2:])
    cached = self.variable("cache", name, jnp.zeros, shape, new.dtype)
    cached.value = jax.lax.dynamic_update_slice_in_dim(
      cached.value, new, start, axis=1
    )
    return cached.value


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
    self,
    x: Float[Array, "b n d"],
    mask: Bool[Array, "_ _ n m"] | None = None,
    start: Int[Array, ""] | int | None = None,
    *,
    train: bool = False,
  ) -> Float[Array, "b n d"]:
    attended = SelfAttention(
      self.num_heads,
      self.attention_dropout_rate,
      self.dtype,
      self.kernel_init,
      self.attention_implementation,
      name="self_attention",
    )(x, mask, start, train=train)
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
  """One transformer layer.

  Attributes:
    frame_size: Positions of a frame: they attend to each other, then every
      position to the same one in other frames; 0: all attend to all.
  """

  num_heads: int
  mlp_dim: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable
  attention_implementation: str | None = None
  frame_size: int = 0

  # No keywords: what is computed again in the backward pass takes none.
  @nn.compact
  def __call__(
    self,
    x: Float[Array, "b n d"],
    train: bool = False,
    time_mask: Bool[Array, "_ t m"] | None = None,
    start: Int[Array, ""] | int | None = None,
  ) -> Float[Array, "b n d"]:
    """Returns the next hidden states.

    Args:
      x: Hidden states; with `frame_size` frame after frame.
      train: Whether dropout is on.
      time_mask: With `frame_size`: which frames (last axis) a frame sees, of
        all clips or of each.
      start: See `SelfAttention`, in frames.
    """
    attend = functools.partial(
      BertAttention,
      self.num_heads,
      self.dropout_rate,
      self.attention_dropout_rate,
      self.dtype,
      self.kernel_init,
      self.attention_implementation,
    )
    if not self.frame_size:
      x = attend()(x, train=train)
    else:
      shape, width = x.shape, x.shape[-1]
      x = attend()(x.reshape(-1, self.frame_size, width), train=train)
      x = x.reshape(shape[0], -1, self.frame_size, width).swapaxes(1, 2)
      assert time_mask is not None
      if len(time_mask) > 1:
        time_mask = jnp.repeat(time_mask, self.frame_size, axis=0)
      x = attend()(
        x.reshape(-1, x.shape[2], width), time_mask[:, None], start, train=train
      )
      x = x.reshape(shape[0], self.frame_size, -1, width).swapaxes(1, 2)
      x = x.reshape(shape)
    return BertMlp(
      self.mlp_dim, self.dropout_rate, self.dtype, self.kernel_init
    )(x, train=train)
