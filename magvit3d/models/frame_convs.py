"""Convolutions of clips as 2D ones over their frames: fast on CPUs."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_LARGE_FRAME = 1024  # Pixels; where a kernel's gradient is better by products.
_FEW_CHANNELS = 8  # Of an input whose frames are joined before a convolution.


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


def conv_transpose3d_over_frames(
  clips: Float[Array, "b t h w c"],
  kernel: Float[Array, "kt 4 4 c f"],
  time_stride: int,
) -> Float[Array, "b t2 h2 w2 f"]:
  """A transposed 3D convolution, 'SAME' padding, as 2D ones of frames.

  Doubles height and width, and time where `time_stride` is 2 and the kernel 4
  long. Each output row (column, frame) reads two neighbours: those of one
  parity by the even taps of the kernel, those of the other by the odd ones. So
  rows and columns of each parity are a 2-wide convolution, whose channels are
  the taps along time.
  """
  b, t, h, w, c = clips.shape
  num_taps, f = kernel.shape[0], kernel.shape[-1]

  def parity(y: int, x: int) -> Array:
    taps = kernel[:, y::2, x::2].transpose(1, 2, 3, 0, 4)
    padding = ((1 - y, y), (1 - x, x))
    return frames_conv(clips, taps.reshape(2, 2, c, num_taps * f), padding)

  rows = [jnp.stack([parity(y, x) for x in (0, 1)], axis=4) for y in (0, 1)]
  out = jnp.stack(rows, axis=3).reshape(b, t, 2 * h, 2 * w, num_taps * f)
  taps = lax.split(out, (f,) * num_taps, axis=-1)

  def shifted(tap: int, offset: int) -> Array:
    return _frames_at(taps[tap], offset)

  if time_stride == 1:
    return sum(shifted(tap, tap - num_taps // 2) for tap in range(num_taps))
  even, odd = (shifted(i, i - 1) + shifted(i + 2, i) for i in (0, 1))
  return jnp.stack([even, odd], axis=2).reshape(b, 2 * t, 2 * h, 2 * w, f)
