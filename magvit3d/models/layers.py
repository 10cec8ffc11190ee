"""Convolutions and normalisation of the tokenizer.

All of them act on channel-last arrays of any number of spatial axes: clips
(b, t, h, w, c) with 3D kernels, or frames (n, h, w, c) with 2D kernels. Module
names are linen's automatic ones, which are also upstream's.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  "swish": nn.swish,
  "relu": nn.relu,
}
CONV_IMPLEMENTATIONS = ("xla", "frames")
_FEW_CHANNELS = 8  # Of an input whose frames are joined before a convolution.


def default_conv_implementation() -> str:
  """Returns the faster way to run 3D convolutions on this machine's devices.

  XLA's 3D convolution on CPU runs at 20 to 40 GFLOP/s where 2D convolutions
  over shifted frames run at 60 to 100 (benchmarks/conv3d.py).
  """
  return "frames" if jax.default_backend() == "cpu" else "xla"


def _conv(x: Array, kernel: Array, strides, padding) -> Array:
  spatial = "THW"[-(kernel.ndim - 2) :]
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
  )


def _add_bias(x: Array, bias: Array) -> Array:
  """Adds in float32, so that the gradient of the bias is a float32 sum."""
  return (x + jnp.expand_dims(bias, range(x.ndim - 1))).astype(x.dtype)


def conv3d_over_frames(
  clips: Float[Array, "b t h w c"], kernel: Float[Array, "kt kh kw c f"]
) -> Float[Array, "b t h w f"]:
  """A zero-padded, stride-1 3D convolution as one 2D convolution of frames.

  The slices of the kernel along time are convolved together, as so many output
  channels, whose results are added some frames apart; or, where the input has
  few channels, as so many input channels. Equal to the 3D convolution up to
  the order of summation.
  """
  depth, kh, kw, c, f = kernel.shape
  b, t, h, w, _ = clips.shape
  before = (depth - 1) // 2
  margin = ((0, 0), (before, depth - 1 - before), (0, 0), (0, 0), (0, 0))
  if c < _FEW_CHANNELS:
    padded = jnp.pad(clips, margin)
    frames = jnp.concatenate([padded[:, i : i + t] for i in range(depth)], -1)
    taps = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, depth * c, f)
    out = _conv(frames.reshape(b * t, h, w, -1), taps, (1, 1), "SAME")
    return out.reshape(b, t, h, w, f)
  taps = kernel.transpose(1, 2, 3, 0, 4).reshape(kh, kw, c, depth * f)
  out = _conv(clips.reshape(b * t, h, w, c), taps, (1, 1), "SAME")
  out = out.reshape(b, t, h, w, depth, f)
  padded = jnp.pad(out, (*margin, (0, 0)))
  return sum(padded[:, i : i + t, ..., i, :] for i in range(depth))


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
    implementation: "xla", or "frames" (see `conv3d_over_frames`), which 3D
      convolutions of stride 1 with a kernel longer than 1 in time then take.
    kernel_init: Initializer of the kernel.
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int] | None = None
  use_bias: bool = True
  padding_mode: str | None = None
  implementation: str = "xla"
  kernel_init: Callable = nn.initializers.lecun_normal()
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Convolves (n, *spatial, c) to (n, *spatial / strides, features)."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape)
    kernel, x = kernel.astype(self.dtype), x.astype(self.dtype)
    strides = tuple(self.strides or (1,) * len(self.kernel_size))
    padding = "SAME"
    if self.padding_mode is not None and max(self.kernel_size) > 1:
      x = pad_spatial(x, self.kernel_size, self.padding_mode)
      padding = "VALID"
    if (
      self.implementation == "frames"
      and len(self.kernel_size) == 3
      and self.kernel_size[0] > 1
      and padding == "SAME"
      and max(strides) == 1
    ):
      x = conv3d_over_frames(x, kernel)
    else:
      x = _conv(x, kernel, strides, padding)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
      x = _add_bias(x, bias)
    return x


# For a 4-wide transposed convolution of stride 2: which tap of the kernel acts
# at which neighbour (-1, 0, 1), for even and for odd outputs.
_PHASE_TAPS = np.zeros((2, 3, 4), np.float32)
_PHASE_TAPS[0, 0, 0] = _PHASE_TAPS[0, 1, 2] = 1
_PHASE_TAPS[1, 1, 1] = _PHASE_TAPS[1, 2, 3] = 1


def conv_transpose3d_over_frames(
  clips: Float[Array, "b t h w c"],
  kernel: Float[Array, "4 4 4 c f"],
  time_stride: int,
) -> Float[Array, "b t2 h2 w2 f"]:
  """A 4-wide 3D transposed convolution as a sum of 2D convolutions.

  Doubles height and width, and time where `time_stride` is 2. Each output
  row (column, frame) of a parity reads two neighbours, so that all four
  parities of a frame are one 3-wide convolution to 4 f channels.
  """
  b, t, h, w, c = clips.shape
  f = kernel.shape[-1]
  taps = jnp.asarray(_PHASE_TAPS, kernel.dtype)
  per_frame = jnp.einsum("pdk,qel,tklcf->tdecpqf", taps, taps, kernel)
  per_frame = per_frame.reshape(4, 3, 3, c, 4 * f)
  padded = jnp.pad(clips, ((0, 0), (2, 1), (0, 0), (0, 0), (0, 0)))

  def sum_over(tap_and_offset):
    out = 0.0
    for tap, offset in tap_and_offset:
      frames = padded[:, 2 + offset : 2 + offset + t].reshape(b * t, h, w, c)
      out += _conv(frames, per_frame[tap], (1, 1), "SAME")
    return out.reshape(b, t, h, w, 2, 2, f)

  if time_stride == 2:
    even, odd = sum_over([(0, -1), (2, 0)]), sum_over([(1, 0), (3, 1)])
    out = jnp.stack([even, odd], axis=2).reshape(b, 2 * t, h, w, 2, 2, f)
  else:
    out = sum_over([(0, -2), (1, -1), (2, 0), (3, 1)])
  out = out.transpose(0, 1, 2, 4, 3, 5, 6)
  return out.reshape(b, -1, 2 * h, 2 * w, f)


class ConvTranspose(nn.Module):
  """A 4-wide transposed convolution that doubles the axes of stride 2.

  Attributes:
    features: Output channels.
    strides: 1 or 2 for each spatial axis; 2 in height and width.
    implementation: "xla", or "frames" for clips (see
      `conv_transpose3d_over_frames`).
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  strides: Sequence[int]
  implementation: str = "xla"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Maps (n, *spatial, c) to (n, *(spatial * strides), features)."""
    ndim = len(self.strides)
    shape = (*(4,) * ndim, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
    kernel, x = kernel.astype(self.dtype), x.astype(self.dtype)
    if self.implementation == "frames" and ndim == 3:
      x = conv_transpose3d_over_frames(x, kernel, self.strides[0])
    else:
      x = lax.conv_transpose(x, kernel, self.strides, "SAME")
    return _add_bias(x, bias)


def pad_spatial(x: Array, kernel_size: Sequence[int], mode: str) -> Array:
  """Pads the spatial axes of (n, *spatial, c) for a 'VALID' convolution."""
  widths = [(0, 0), *(((k - 1) // 2, k // 2) for k in kernel_size), (0, 0)]
  options = {}
  if mode.startswith(("reflect_", "symmetric_")):
    mode, _, options["reflect_type"] = mode.partition("_")
  return jnp.pad(x, widths, mode=mode, **options)


def make_norm(
  norm_type: str | None,
  num_groups: int,
  dtype: DTypeLike,
  name: str | None = None,
) -> Callable[[Array], Array]:
  """Returns a new normalisation layer: 'GN', 'LN', or None for identity.

  Call it once for each place, inside a compact method, so that linen numbers
  the layers in order. Statistics are float32 whatever `dtype` is.
  """
  if norm_type == "GN":
    return nn.GroupNorm(num_groups, epsilon=1e-6, dtype=dtype, name=name)
  if norm_type == "LN":
    return nn.LayerNorm(epsilon=1e-6, dtype=dtype, name=name)
  if norm_type is None:
    return lambda x: x
  raise ValueError(f"norm_type={norm_type!r} is unknown; use 'GN', 'LN', None.")
