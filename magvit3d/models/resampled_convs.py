"""Convolutions that double or halve the grid, without making the larger one.

A 3-wide convolution of a grid whose values were repeated is a transposed one of
the smaller grid, with a kernel 4 wide; one whose results are averaged in pairs
is a convolution of stride 2, 4 wide. The kernel's taps are added up in place of
what they give, so that a coarse cell of a clip meets 64 and not 216.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from magvit3d.models import frame_convs, onednn


def widened(
  kernel: Float[Array, "*sides c f"], strides: Sequence[int]
) -> Float[Array, "*wider c f"]:
  """Returns the sum of a kernel and itself a tap on, where the stride is 2."""
  for axis, stride in enumerate(strides):
    if stride == 2:
      before, after = ([(0, 0)] * kernel.ndim for _ in range(2))
      before[axis], after[axis] = (1, 0), (0, 1)
      kernel = jnp.pad(kernel, before) + jnp.pad(kernel, after)
  return kernel


def conv_transpose(
  x: Float[Array, "n *grid c"],
  kernel: Float[Array, "*sides c f"],
  strides: Sequence[int],
  implementation: str,
) -> Float[Array, "n *finer f"]:
  """A transposed convolution of strides 1 and 2, 'SAME' padding, as in `lax`.

  Args:
    x: Values.
    kernel: 3 or 4 wide, 4 where the stride is 2.
    strides: One for each axis of the grid.
    implementation: 'onednn' or 'frames' of clips, or 'xla': the gradient of a
      strided convolution, for which cuDNN has calls.
  """
  if implementation == "onednn":
    return onednn.conv3d_transpose(x, kernel, strides)
  if implementation == "frames":
    return frame_convs.conv_transpose3d_over_frames(x, kernel, strides[0])
  return _conv_transpose(x, kernel, tuple(strides))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv_transpose(x, kernel, strides):
  # Its own derivative would take the kernel's gradient as a convolution whose
  # kernel is as large as the grid.
  n, *grid, _ = x.shape
  sizes = (size * stride for size, stride in zip(grid, strides, strict=True))
  result = jax.ShapeDtypeStruct((n, *sizes, kernel.shape[-1]), x.dtype)
  turned = _turned(kernel)
  (out,) = jax.linear_transpose(
    lambda y: _transposed_of(y, turned, strides), result
  )(x)
  return out


def _transposed_of(y, kernel, strides):
  """The convolution whose gradient, to what it reads, the transposed one is."""
  sides = kernel.shape[:-2]
  padding = [
    (1, side - stride - 1) for side, stride in zip(sides, strides, strict=True)
  ]
  return frame_convs.conv(y, kernel, strides, padding)


def _turned(kernel):
  """(*sides, c, f) to (*sides, f, c), with its taps in reverse; or back."""
  return jnp.flip(kernel, range(kernel.ndim - 2)).swapaxes(-1, -2)


def _conv_transpose_forward(x, kernel, strides):
  return _conv_transpose(x, kernel, strides), (x, kernel)


def _conv_transpose_backward(strides, saved, gradient):
  x, kernel = saved
  turned = _turned(kernel)
  (to_kernel,) = jax.linear_transpose(
    lambda kernel: _transposed_of(gradient, kernel, strides),
    jax.ShapeDtypeStruct(turned.shape, turned.dtype),
  )(x)
  return _transposed_of(gradient, turned, strides), _turned(to_kernel)


_conv_transpose.defvjp(_conv_transpose_forward, _conv_transpose_backward)


def halving_conv(
  x: Float[Array, "n *grid c"],
  kernel: Float[Array, "*sides c f"],
  strides: Sequence[int],
  implementation: str,
) -> Float[Array, "n *coarser f"]:
  """A convolution 4 wide where its stride is 2, and 3 wide where it is 1.

  Args:
    x: Values; even axes where the stride is 2.
    kernel: As wide as that.
    strides: One for each axis of the grid.
    implementation: 'onednn' (of clips) or 'xla'.
  """
  convolve = onednn.conv3d if implementation == "onednn" else frame_convs.conv
  return convolve(x, kernel, strides, "SAME")
