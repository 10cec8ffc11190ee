"""Convolutions and normalisation of the tokenizer.

All of them act on channel-last arrays of any number of spatial axes: clips
(b, t, h, w, c) with 3D kernels, or frames (n, h, w, c) with 2D kernels. Module
names are linen's automatic ones, which are also upstream's.
"""

import functools
import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.errors import UserError
from magvit3d.models import onednn, target

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  "swish": nn.swish,
  "relu": nn.relu,
}
_LARGE_FRAME = (
  1024  # Pixels; where the kernel's gradient is better by products.
)
_FEW_CHANNELS = 8  # Of an input whose frames are joined before a convolution.


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


def conv(
  x: Float[Array, "n *spatial c"],
  kernel: Float[Array, "*sides c f"],
  strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
) -> Float[Array, "n *new f"]:
  """A convolution by XLA, 2D or 3D."""
  spatial = "THW"[-(kernel.ndim - 2) :]
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
  )


def _frames_conv(clips, kernel, padding) -> Array:
  b, t = clips.shape[:2]
  frames = conv(clips.reshape(b * t, *clips.shape[2:]), kernel, (1, 1), padding)
  return frames.reshape(b, t, *frames.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def frames_conv(
  clips: Float[Array, "b t h w c"],
  kernel: Float[Array, "kh kw c f"],
  padding: tuple[tuple[int, int], tuple[int, int]],
) -> Float[Array, "b t h2 w2 f"]:
  """A 2D convolution of frames, stride 1, whose gradients are fast on CPUs.

  Zeros are put before and after height and width as `padding` says, fewer than
  the kernel is wide. XLA's CPU backend takes the kernel's gradient, a sum over
  all pixels, as a convolution with kernels as large as the frames. Products of
  matrices are two to three times as fast where frames are large, and many times
  where the kernel's sides are even (benchmarks/conv3d.py).
  """
  return _frames_conv(clips, kernel, padding)


def _frames_conv_forward(clips, kernel, padding):
  return frames_conv(clips, kernel, padding), (clips, kernel)


def _frames_conv_backward(padding, saved, gradient):
  clips, kernel = saved
  rest = tuple(
    (size - 1 - before, size - 1 - after)
    for size, (before, after) in zip(kernel.shape, padding, strict=False)
  )
  to_clips = frames_conv(gradient, kernel[::-1, ::-1].swapaxes(-1, -2), rest)
  return to_clips, _kernel_gradient(clips, gradient, kernel.shape, padding)


frames_conv.defvjp(_frames_conv_forward, _frames_conv_backward)


def _kernel_gradient(clips, gradient, shape, padding) -> Array:
  kh, kw, c, f = shape
  _, _, h, w, _ = gradient.shape
  is_large = h * w >= _LARGE_FRAME
  if not is_large and kh % 2 and kw % 2:
    zeros = jnp.zeros(shape, clips.dtype)
    _, pull_back = jax.vjp(lambda k: _frames_conv(clips, k, padding), zeros)
    return pull_back(gradient)[0]

  def taps(frames, gradient):
    """Of each clip, (b, kh, kw * c, f); frames and gradient are (b, n, ...)."""
    padded = jnp.pad(frames, ((0, 0), (0, 0), *padding, (0, 0)))
    rows = jnp.concatenate([padded[..., i : i + w, :] for i in range(kw)], -1)
    found = [
      jnp.einsum("bnhwc,bnhwf->bcf", rows[:, :, i : i + h], gradient)
      for i in range(kh)
    ]
    return jnp.stack(found, axis=1)

  if not is_large:
    together = (x.reshape(1, -1, *x.shape[2:]) for x in (clips, gradient))
    return taps(*together).reshape(shape)
  # Frame by frame, in the processor's cache; clips may be on several devices.
  total = jnp.zeros((len(clips), kh, kw * c, f), clips.dtype)
  frames = [x.swapaxes(0, 1)[:, :, None] for x in (clips, gradient)]
  total, _ = lax.scan(
    lambda total, frame: (total + taps(*frame), None), total, frames
  )
  return total.sum(axis=0).reshape(shape)


def _suits_onednn(clips, kernel_size) -> bool:
  return clips.dtype == jnp.float32 and math.prod(kernel_size) > 1


def add_bias(
  x: Float[Array, "*any f"], bias: Float[Array, " f"]
) -> Float[Array, "*any f"]:
  """Adds in float32, so that the gradient of the bias is a float32 sum."""
  return (x + jnp.expand_dims(bias, range(x.ndim - 1))).astype(x.dtype)


def _same_padding(size: int) -> tuple[int, int]:
  return (size - 1) // 2, size // 2


def _frames_at(clips: Array, offset: int) -> Array:
  """Returns frame t + `offset` in the place of frame t; zeros beyond."""
  widths = [(0, 0, 0)] * clips.ndim
  widths[1] = (-offset, offset, 0)
  return lax.pad(clips, jnp.zeros((), clips.dtype), widths)


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
  before = (depth - 1) // 2
  padding = _same_padding(kh), _same_padding(kw)
  if c < _FEW_CHANNELS:
    frames = jnp.concatenate(
      [_frames_at(clips, i - before) for i in range(depth)], -1
    )
    taps = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, depth * c, f)
    return frames_conv(frames, taps, padding)
  taps = kernel.transpose(1, 2, 3, 0, 4).reshape(kh, kw, c, depth * f)
  parts = lax.split(frames_conv(clips, taps, padding), (f,) * depth, axis=-1)
  return sum(_frames_at(part, i - before) for i, part in enumerate(parts))


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
    implementation: "xla"; "frames" (see `conv3d_over_frames`), which 3D
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
    implementation = self.implementation if len(strides) == 3 else "xla"
    if implementation == "onednn" and _suits_onednn(x, kernel.shape[:-2]):
      x = onednn.conv3d(x, kernel, strides, padding)
    elif (
      implementation != "xla"
      and self.kernel_size[0] > 1
      and padding == "SAME"
      and max(strides) == 1
    ):
      x = conv3d_over_frames(x, kernel)
    else:
      x = conv(x, kernel, strides, padding)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
      x = add_bias(x, bias)
    return x


def conv_transpose3d_over_frames(
  clips: Float[Array, "b t h w c"],
  kernel: Float[Array, "4 4 4 c f"],
  time_stride: int,
) -> Float[Array, "b t2 h2 w2 f"]:
  """A 4-wide 3D transposed convolution as four 2D convolutions of frames.

  Doubles height and width, and time where `time_stride` is 2. Each output row
  (column, frame) reads two neighbours: those of one parity by the even taps of
  the kernel, those of the other by the odd ones. So rows and columns of each
  parity are a 2-wide convolution, whose channels are the taps along time.
  """
  b, t, h, w, c = clips.shape
  f = kernel.shape[-1]

  def parity(y: int, x: int) -> Array:
    taps = kernel[:, y::2, x::2].transpose(1, 2, 3, 0, 4)
    padding = ((1 - y, y), (1 - x, x))
    return frames_conv(clips, taps.reshape(2, 2, c, 4 * f), padding)

  rows = [jnp.stack([parity(y, x) for x in (0, 1)], axis=4) for y in (0, 1)]
  out = jnp.stack(rows, axis=3).reshape(b, t, 2 * h, 2 * w, 4 * f)
  taps = lax.split(out, (f,) * 4, axis=-1)

  def shifted(tap: int, offset: int) -> Array:
    return _frames_at(taps[tap], offset)

  if time_stride == 1:
    return sum(shifted(tap, tap - 2) for tap in range(4))
  even, odd = (shifted(i, i - 1) + shifted(i + 2, i) for i in (0, 1))
  return jnp.stack([even, odd], axis=2).reshape(b, 2 * t, 2 * h, 2 * w, f)


class ConvTranspose(nn.Module):
  """A 4-wide transposed convolution that doubles the axes of stride 2.

  Attributes:
    features: Output channels.
    strides: 1 or 2 for each spatial axis; 2 in height and width.
    implementation: "xla"; for clips "frames" (see
      `conv_transpose3d_over_frames`), or "onednn" where they are float32.
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
    implementation = self.implementation if ndim == 3 else "xla"
    if implementation == "onednn" and _suits_onednn(x, kernel.shape[:-2]):
      x = onednn.conv3d_transpose(x, kernel, self.strides)
    elif implementation != "xla":
      x = conv_transpose3d_over_frames(x, kernel, self.strides[0])
    else:
      x = lax.conv_transpose(x, kernel, self.strides, "SAME")
    return add_bias(x, bias)


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
