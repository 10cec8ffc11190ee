"""Convolutions of the tokenizer.

All of them act on channel-last arrays of any number of spatial axes: clips
(b, t, h, w, c) with 3D kernels, or frames (n, h, w, c) with 2D kernels. Module
names are linen's automatic ones, which are also upstream's.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.errors import UserError
from magvit3d.models import (
  frame_convs,
  onednn,
  resampled_convs,
  resampling,
  target,
)

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  "swish": nn.swish,
  "relu": nn.relu,
}


def choose_conv_implementation(name: str | None) -> str:
  """Returns how to run 3D convolutions, where a config says `name`.

  Raises:
    UserError: That is not possible here.
  """
  if name == "onednn" and (reason := onednn.why_not()):
    raise UserError(
      f"config.vqvae.conv_implementation='onednn': {reason} Or use 'frames'."
    )
  return name or default_conv_implementation()


def default_conv_implementation() -> str:
  """Returns the fastest way to run 3D convolutions on `target.platform`.

  XLA's 3D convolution on CPU runs at 20 to 40 GFLOP/s where 2D convolutions
  over shifted frames run at 60 to 100, and oneDNN's, where it is installed, at
  130 to 250 (benchmarks/conv3d.py).
  """
  if target.platform() != "cpu":
    return "xla"
  return "onednn" if target.is_here() and onednn.is_available() else "frames"


def uses_onednn(clips: Array, kernel_size: Sequence[int]) -> bool:
  """Returns whether oneDNN is the fastest for clips, and can take them."""
  return default_conv_implementation() == "onednn" and _suits_onednn(
    clips, kernel_size
  )


def _suits_onednn(clips, kernel_size) -> bool:
  return clips.dtype == jnp.float32 and math.prod(kernel_size) > 1


def _implementation(wanted: str, x: Array, kernel_size: Sequence[int]) -> str:
  """Returns how to convolve `x`, where a layer is asked for `wanted`."""
  if x.ndim != 5:
    return "xla"
  if wanted == "onednn" and not _suits_onednn(x, kernel_size):
    return "frames"
  return wanted


def add_bias(
  x: Float[Array, "*any f"], bias: Float[Array, " f"]
) -> Float[Array, "*any f"]:
  """Adds in float32, so that the gradient of the bias is a float32 sum."""
  return (x + jnp.expand_dims(bias, range(x.ndim - 1))).astype(x.dtype)


class Conv(nn.Module):
  """Convolution with numpy-style padding modes; 2D or 3D by `kernel_size`.

  Attributes:
    features: Output channels.
    kernel_size: One entry for each spatial axis.
    strides: One entry for each spatial axis; None is 1 everywhere.
    use_bias: Whether to add a bias per output channel.
    padding_mode: None is zero padding ("SAME"). Else (k-1)//2 values before
      and k//2 after each axis by this mode of `numpy.pad`; "reflect_odd" and
      its kind carry numpy's `reflect_type` after the underscore.
    upsampling: How often each value is repeated along each spatial axis, once
      or twice, before the convolution; None is once.
    pooling: Of how many neighbours along each spatial axis, 1 or 2, the results
      are averages, as in `resampling.average_pool`; None is 1. Not with
      `upsampling`.
    implementation: "xla"; "frames" (see `frame_convs`), which 3D
      convolutions of stride 1 with a kernel longer than 1 in time then take; or
      "onednn", which 3D ones of float32 take, and others as in "frames".
    kernel_init: Initializer of the kernel.
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int] | None = None
  use_bias: bool = True
  padding_mode: str | None = None
  upsampling: Sequence[int] | None = None
  pooling: Sequence[int] | None = None
  implementation: str = "xla"
  kernel_init: Callable = nn.initializers.lecun_normal()
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Convolves (n, *spatial, c) to (n, *new, features)."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape)
    x = x.astype(self.dtype)
    implementation = _implementation(self.implementation, x, self.kernel_size)
    if self.upsampling and self._resamples_at_once(implementation):
      wide = resampled_convs.widened(kernel, self.upsampling)
      x = resampled_convs.conv_transpose(
        x, wide.astype(self.dtype), self.upsampling, implementation
      )
    elif self.pooling and self._halves_at_once(x, implementation):
      wide = resampled_convs.widened(kernel, self.pooling)
      wide = (wide / math.prod(self.pooling)).astype(self.dtype)
      x = resampled_convs.halving_conv(x, wide, self.pooling, implementation)
    else:
      if self.upsampling:
        x = resampling.upsample_nearest(x, self.upsampling)
      x = self._convolve(x, kernel.astype(self.dtype), implementation)
      if self.pooling:
        x = resampling.average_pool(x, self.pooling)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
      x = add_bias(x, bias)
    return x

  def _convolve(self, x: Array, kernel: Array, implementation: str) -> Array:
    strides = tuple(self.strides or (1,) * len(self.kernel_size))
    padding = "SAME"
    if self.padding_mode is not None and max(self.kernel_size) > 1:
      x = pad_spatial(x, self.kernel_size, self.padding_mode)
      padding = "VALID"
    if implementation == "onednn":
      return onednn.conv3d(x, kernel, strides, padding)
    is_over_frames = self.kernel_size[0] > 1 and max(strides) == 1
    if implementation == "frames" and is_over_frames and padding == "SAME":
      return frame_convs.conv3d_over_frames(x, kernel)
    return frame_convs.conv(x, kernel, strides, padding)

  def _resamples_at_once(self, implementation: str) -> bool:
    """Whether convolving and doubling, or halving, is one convolution here.

    Not by XLA on CPUs, which has no fast ones of stride 2.
    """
    is_plain = self.strides is None and self.padding_mode is None
    is_fast = implementation != "xla" or target.platform() != "cpu"
    return is_plain and is_fast and set(self.kernel_size) == {3}

  def _halves_at_once(self, x: Array, implementation: str) -> bool:
    sizes = zip(x.shape[1:-1], self.pooling, strict=True)
    is_even = not any(size % window for size, window in sizes)
    return (
      is_even
      and implementation != "frames"
      and self._resamples_at_once(implementation)
    )


class ConvTranspose(nn.Module):
  """A 4-wide transposed convolution that doubles the axes of stride 2.

  Attributes:
    features: Output channels.
    strides: 1 or 2 for each spatial axis; 2 in height and width.
    implementation: "xla"; for clips "frames" (see
      `frame_convs`), or "onednn" where they are float32.
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  strides: Sequence[int]
  implementation: str = "xla"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Maps (n, *spatial, c) to (n, *(spatial * strides), features)."""
    shape = (*(4,) * len(self.strides), x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
    kernel, x = kernel.astype(self.dtype), x.astype(self.dtype)
    implementation = _implementation(self.implementation, x, shape[:-2])
    x = resampled_convs.conv_transpose(x, kernel, self.strides, implementation)
    return add_bias(x, bias)


def pad_spatial(x: Array, kernel_size: Sequence[int], mode: str) -> Array:
  """Pads the spatial axes of (n, *spatial, c) for a 'VALID' convolution."""
  widths = [(0, 0), *(((k - 1) // 2, k // 2) for k in kernel_size), (0, 0)]
  options = {}
  if mode.startswith(("reflect_", "symmetric_")):
    mode, _, options["reflect_type"] = mode.partition("_")
  return jnp.pad(x, widths, mode=mode, **options)
