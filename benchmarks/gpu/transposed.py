"""A transposed 3D convolution in the form that XLA hands to cuDNN as such.

`lax.conv_transpose` becomes a convolution of clips with zeros in between, which
multiplies eight times as much as needed, and the gradient of its kernel one
whose kernel is as large as the clips. Written as the gradient of a convolution
of stride 2, with its own gradients in turn those of that convolution, all three
are cuDNN's calls for the purpose. The numbers are the same.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_STRIDES = (2, 2, 2)
_AXES = ("NTHWC", "THWIO", "NTHWC")


def _halve(y: Array, kernel: Array) -> Array:
  """The convolution whose transpose this is."""
  return lax.conv_general_dilated(
    y, kernel, _STRIDES, [(1, 1)] * 3, dimension_numbers=_AXES
  )


def _turned(kernel: Array) -> Array:
  """(4, 4, 4, c, f) to (4, 4, 4, f, c), with its taps in reverse; or back."""
  return jnp.flip(kernel, (0, 1, 2)).swapaxes(3, 4)


@jax.custom_vjp
def conv_transpose(
  kernel: Float[Array, "4 4 4 c f"], clips: Float[Array, "b t h w c"]
) -> Float[Array, "b t2 h2 w2 f"]:
  """`lax.conv_transpose(clips, kernel, (2, 2, 2), "SAME")`."""
  b, *grid, _ = clips.shape
  shape = (b, *(2 * size for size in grid), kernel.shape[-1])
  turned = _turned(kernel)
  (result,) = jax.linear_transpose(
    lambda y: _halve(y, turned), jax.ShapeDtypeStruct(shape, clips.dtype)
  )(clips)
  return result


def _forward(kernel, clips):
  return conv_transpose(kernel, clips), (kernel, clips)


def _backward(saved, gradient):
  kernel, clips = saved
  turned = _turned(kernel)
  to_kernel = jax.linear_transpose(
    lambda kernel: _halve(gradient, kernel),
    jax.ShapeDtypeStruct(turned.shape, turned.dtype),
  )
  (of_kernel,) = to_kernel(clips)
  return _turned(of_kernel), _halve(gradient, turned)


conv_transpose.defvjp(_forward, _backward)
