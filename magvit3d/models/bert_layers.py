"""Layers of BERT: attention and MLP, each followed by a sum and a norm.

BERT (https://arxiv.org/abs/1810.04805), post-norm. Module names are upstream's.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
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
    bias: Float[Array, "_ h n m"] | None = None,
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
      bias: Added to how positions match.
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
      bias=bias,
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
    bias: Float[Array, "_ h n m"] | None = None,
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
    )(x, mask, start, bias, train=train)
    attended = nn.Dropout(self.dropout_rate)(attended, deterministic=not train)
    return layer_norm("attention_output_ln")(x + attended)


class RelativeBias(nn.Module):
  """Learned biases of attention, by head and offset on a grid.

  T5 (https://arxiv.org/abs/1910.10683, section 2.1), on grids as in Swin
  (https://arxiv.org/abs/2103.14030). They start as in ALiBi
  (https://arxiv.org/abs/2108.12409): what is far weighs less, in each head at
  another rate.

  Attributes:
    num_heads: Heads.
    grid: Of the positions.
  """

  num_heads: int
  grid: tuple[int, ...]

  @nn.compact
  def __call__(self) -> Float[Array, "1 h n n"]:
    """Returns the bias of each head, query and key."""
    places = np.indices(self.grid).reshape(len(self.grid), -1)
    offsets = places[:, :, None] - places[:, None, :]
    spans = tuple(2 * size - 1 for size in self.grid)
    middle = np.array(self.grid)[:, None, None] - 1
    index = np.ravel_multi_index(tuple(offsets + middle), spans)
    table = self.param(
      "relative_bias", self._initial, (self.num_heads, math.prod(spans))
    )
    return table[:, index][None]

  def _initial(self, rng, shape, dtype=jnp.float32) -> Array:
    """Minus the distance, times 1, 1/2, 1/4, ... for the heads."""
    del rng
    middles = [np.arange(1 - size, size) for size in self.grid]
    axes = np.meshgrid(*middles, indexing="ij")
    distance = np.sqrt(sum(axis**2 for axis in axes)).ravel()
    slopes = 2.0 ** -np.arange(shape[0])
    return jnp.asarray(-slopes[:, None] * distance, dtype)


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
    # What it reads is kept for the backward pass, and not its slopes besides.
    hidden = jax.checkpoint(nn.gelu)(hidden.astype(self.dtype))
    hidden = dense(x.shape[-1], name="layer_output")(hidden)
    hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic=not train)
    return layer_norm("layer_output_ln")(x + hidden)


class BertLayer(nn.Module):
  """One transformer layer.

  Attributes:
    frame_size: Positions of a frame: they attend to each other, then every
      position to the same one in other frames; 0: all attend to all.
    relative_grid: With `frame_size`: (t, h, w) of the longest clip, on which
      attention has a `RelativeBias`; None: without.
  """

  num_heads: int
  mlp_dim: int
  dropout_rate: float
  attention_dropout_rate: float
  dtype: DTypeLike
  kernel_init: Callable
  attention_implementation: str | None = None
  frame_size: int = 0
  relative_grid: tuple[int, int, int] | None = None

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
      space_bias, time_bias = self._biases(x.shape[1], start)
      shape, width = x.shape, x.shape[-1]
      frames = x.reshape(-1, self.frame_size, width)
      x = attend()(frames, None, None, space_bias, train=train)
      x = x.reshape(shape[0], -1, self.frame_size, width).swapaxes(1, 2)
      assert time_mask is not None
      if len(time_mask) > 1:
        time_mask = jnp.repeat(time_mask, self.frame_size, axis=0)
      x = attend()(
        x.reshape(-1, x.shape[2], width),
        time_mask[:, None],
        start,
        time_bias,
        train=train,
      )
      x = x.reshape(shape[0], self.frame_size, -1, width).swapaxes(1, 2)
      x = x.reshape(shape)
    return BertMlp(
      self.mlp_dim, self.dropout_rate, self.dtype, self.kernel_init
    )(x, train=train)

  def _biases(self, length, start) -> tuple[Array | None, Array | None]:
    """Of attention in space and in time, (1, h, n, m)."""
    if self.relative_grid is None:
      return None, None
    size, num_frames = self.relative_grid[1:], self.relative_grid[:1]
    space = RelativeBias(self.num_heads, size, name="space_bias")()
    whole = RelativeBias(self.num_heads, num_frames, name="time_bias")()
    count = length // self.frame_size
    if start is None:
      return space, whole[:, :, :count, :count]
    return space, jax.lax.dynamic_slice_in_dim(whole, start, count, axis=2)
