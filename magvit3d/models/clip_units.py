"""Convolutions of clips: by oneDNN on CPUs, where it is."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.models import frame_convs, layers, onednn


class TrainedUnit(nn.Module):
  """Convolution without bias, norm over the clip, relu: I3D's, trained here."""

  filters: int
  kernel_size: int | Sequence[int] = 1
  stride: int | Sequence[int] = 1
  is_linear: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b s y x d"]:
    kernel_size, strides = (
      (value,) * 3 if isinstance(value, int) else tuple(value)
      for value in (self.kernel_size, self.stride)
    )
    x = ClipConv(self.filters, kernel_size, strides, name="Conv_0")(x)
    x = nn.GroupNorm(num_groups=1)(x)
    return x if self.is_linear else nn.relu(x)


class ClipConv(nn.Module):
  """A 3D convolution of zero-padded clips.

  Its kernel is that of a 2D convolution of frames with others beside them, as
  which it runs where oneDNN does not: on CPUs much faster than XLA's 3D one.
  """

  filters: int
  kernel_size: tuple[int, int, int]
  strides: tuple[int, int, int]
  use_bias: bool = False
  kernel_init: Callable = nn.initializers.he_normal()
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b s y x d"]:
    depth, *sides = self.kernel_size
    shape = (*sides, depth * x.shape[-1], self.filters)
    kernel = self.param("kernel", self.kernel_init, shape)
    x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    time_stride, *strides = self.strides
    around = (depth - 1) // 2, depth // 2
    if layers.uses_onednn(x, self.kernel_size):
      taps = kernel.reshape(*sides, depth, x.shape[-1], self.filters)
      padding = lax.padtype_to_pads(x.shape[2:4], sides, strides, "SAME")
      x = onednn.conv3d(
        x, jnp.moveaxis(taps, 2, 0), self.strides, (around, *padding)
      )
    else:
      x = _beside(x, around)[:, ::time_stride]
      b, t, *_ = x.shape
      frames = x.reshape(b * t, *x.shape[2:])
      x = frame_convs.conv(frames, kernel, strides, "SAME")
      x = x.reshape(b, t, *x.shape[1:])
    if not self.use_bias:
      return x
    bias = self.param("bias", nn.initializers.zeros_init(), (self.filters,))
    return layers.add_bias(x, bias)


class FrameConv(nn.Module):
  """`nn.Conv` of stride 1 of each zero-padded frame, with its parameters."""

  features: int
  kernel_size: tuple[int, int]
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w d"]:
    conv = ClipConv(
      self.features,
      (1, *self.kernel_size),
      (1, 1, 1),
      use_bias=True,
      kernel_init=nn.initializers.lecun_normal(),
      dtype=self.dtype,
    )
    nn.share_scope(self, conv)
    return conv(x)


def _beside(x: Float[Array, "b t h w c"], around: tuple[int, int]) -> Array:
  """Puts frames before and after each beside it, as channels; zeros beyond."""
  widths = [(0, 0)] * x.ndim
  widths[1] = around
  padded, t = jnp.pad(x, widths), x.shape[1]
  return jnp.concatenate(
    [padded[:, i : i + t] for i in range(sum(around) + 1)], axis=-1
  )
