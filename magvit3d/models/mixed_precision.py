"""What stays float32 around the matrix products of bfloat16 networks.

A product of bfloat16 arrays is added up in float32 and then rounded, which is
all that bfloat16 may cost. Sums elsewhere are not: the gradient of a bias is a
sum over all positions, and added up in bfloat16 it stands still once it is 256
times what is added. In float32 nothing here changes a number.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

# As `lax.dot_general` takes them: contracted and batch axes of both arrays.
_Axes = tuple[tuple, tuple]


def keep_bias(
  inputs: ArrayLike,
  kernel: ArrayLike,
  bias: ArrayLike | None,
  *,
  dtype: DTypeLike,
) -> tuple[Array, Array, ArrayLike | None]:
  """`promote_dtype` of linen's dense layers that leaves the bias as it is.

  What such a layer returns is then float32, for the caller to round; the
  gradient of the bias is added up in float32.
  """
  return jnp.asarray(inputs, dtype), jnp.asarray(kernel, dtype), bias


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def dot_to_float32(
  x: ArrayLike, y: ArrayLike, dimension_numbers: _Axes, precision: Any = None
) -> Array:
  """`lax.dot_general` whose result is not rounded: float32.

  Its gradient is rounded to the type of `x` and `y` before the products of
  the backward pass, which are then of that type too.
  """
  return lax.dot_general(
    x,
    y,
    dimension_numbers,
    precision=precision,
    preferred_element_type=jnp.float32,
  )


def _forward(x, y, dimension_numbers, precision):
  return dot_to_float32(x, y, dimension_numbers, precision), (x, y)


def _backward(dimension_numbers, precision, saved, gradient):
  _, pull_back = jax.vjp(
    lambda x, y: lax.dot_general(x, y, dimension_numbers, precision=precision),
    *saved,
  )
  return pull_back(gradient.astype(saved[0].dtype))


dot_to_float32.defvjp(_forward, _backward)


def matmul_to_float32(x: ArrayLike, y: ArrayLike) -> Array:
  """`x @ y` for a matrix `y`, as `dot_to_float32`."""
  return dot_to_float32(x, y, (((jnp.ndim(x) - 1,), (0,)), ((), ())))
