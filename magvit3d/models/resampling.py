"""Halving and doubling of grids without parameters.

All of them act on channel-last arrays (n, *spatial, c).
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from magvit3d.models import target


def average_pool(x: Array, window: Sequence[int]) -> Array:
  """Averages windows of the spatial axes of (n, *spatial, c), stride = window.

  Windows are 1 or 2 long. An odd axis keeps its last value alone in its
  window, as 'SAME' padding that is left out of the mean does; an axis of
  length 1 thus stays as it is. Written without reduce_window, which XLA folds
  for seconds at compile time on CPU.
  """
  for axis, size in enumerate(window, start=1):
    if size == 1:
      continue
    if size != 2:
      raise ValueError(f"average_pool has windows of 1 or 2, not {size}.")
    if x.shape[axis] % 2:
      last = lax.slice_in_dim(x, x.shape[axis] - 1, x.shape[axis], axis=axis)
      x = jnp.concatenate([x, last], axis=axis)
    shape = (*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    x = x.reshape(shape).mean(axis=axis + 1)
  return x


def max_pool(x: Array, window: Sequence[int], strides: Sequence[int]) -> Array:
  """Takes the largest of each window of (n, *spatial, c), 'SAME' padding.

  On CPUs one axis after the other, as the largest of slices: the gradient of
  reduce_window runs on one core there, and takes half of a step of I3D.
  """
  if target.platform() != "cpu":
    return nn.max_pool(x, tuple(window), tuple(strides), "SAME")
  pads = lax.padtype_to_pads(x.shape[1:-1], window, strides, "SAME")
  for axis, (size, stride, pad) in enumerate(
    zip(window, strides, pads, strict=True), start=1
  ):
    widths = [(0, 0)] * x.ndim
    widths[axis] = pad
    padded = jnp.pad(x, widths, constant_values=-jnp.inf)
    last = padded.shape[axis] - size
    x = functools.reduce(
      jnp.maximum,
      [
        lax.slice_in_dim(padded, i, i + last + 1, stride, axis)
        for i in range(size)
      ],
    )
  return x


def upsample_nearest(x: Array, factors: Sequence[int]) -> Array:
  """Repeats values along the spatial axes of (n, *spatial, c)."""
  for axis, factor in enumerate(factors, start=1):
    if factor > 1:
      x = jnp.repeat(x, factor, axis=axis)
  return x


def blur_pool(x: Array) -> Array:
  """Halves the spatial axes with the filter [1, 3, 3, 1] / 8 along each.

  Zeros around the grid count ("SAME" padding), as in StyleGAN2
  (https://arxiv.org/abs/1912.04958, appendix B); an odd axis is rounded up.
  Written with slices, whose second derivative is cheap.
  """
  for axis in range(1, x.ndim - 1):
    size = x.shape[axis]
    count = -(-size // 2)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (1, 2 * count + 1 - size)
    padded = jnp.pad(x, widths)
    taps = [
      lax.slice_in_dim(padded, i, i + 2 * count - 1, stride=2, axis=axis)
      for i in range(4)
    ]
    x = (taps[0] + 3 * (taps[1] + taps[2]) + taps[3]) / 8
  return x


def depth_to_space(x: Array) -> Array:
  """Spreads channels (2, 2, c) of frames (n, h, w, 4 c) to (n, 2h, 2w, c)."""
  n, h, w, channels = x.shape
  x = x.reshape(n, h, w, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(n, 2 * h, 2 * w, channels // 4)
