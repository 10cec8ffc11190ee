"""Tests of products that are not rounded."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import mixed_precision


@pytest.fixture
def arrays():
  rng = np.random.default_rng(0)
  x, y, weights = (
    rng.normal(size=shape).astype(np.float32)
    for shape in ((2, 5, 16), (16, 7), (2, 5, 7))
  )
  return jnp.asarray(x), jnp.asarray(y), jnp.asarray(weights)


def test_float32_products_and_gradients_are_those_of_matmul(arrays):
  x, y, weights = arrays

  def run(product):
    return jax.value_and_grad(
      lambda x, y: jnp.sum(product(x, y) * weights), argnums=(0, 1)
    )(x, y)

  got, expected = run(mixed_precision.matmul_to_float32), run(jnp.matmul)
  chex.assert_trees_all_equal(got, expected)


def test_bfloat16_products_are_not_rounded(arrays):
  x, y = (array.astype(jnp.bfloat16) for array in arrays[:2])
  got = mixed_precision.matmul_to_float32(x, y)
  # Products of two 8-bit significands are exact in 16 bits.
  exact = np.asarray(x, np.float64) @ np.asarray(y, np.float64)
  np.testing.assert_allclose(got, exact, atol=1e-5)
  assert np.max(np.abs(jnp.matmul(x, y) - exact)) > 1e-3


def test_gradients_of_bfloat16_products_are_of_bfloat16_products(arrays):
  x, y = (array.astype(jnp.bfloat16) for array in arrays[:2])
  weights = arrays[2]
  _, pull_back = jax.vjp(mixed_precision.matmul_to_float32, x, y)
  for_x, for_y = pull_back(weights)
  assert for_x.dtype == for_y.dtype == jnp.bfloat16
  rounded = np.asarray(weights.astype(jnp.bfloat16), np.float64)
  expected = rounded @ np.asarray(y, np.float64).T
  # One rounding to 8 bits: half a unit of the last is 1 / 256.
  np.testing.assert_allclose(
    np.asarray(for_x, np.float64), expected, rtol=2**-8, atol=1e-5
  )


def test_a_dense_layer_keeps_its_bias_and_what_it_was(arrays):
  layer = nn.Dense(
    7, promote_dtype=mixed_precision.keep_bias, dtype=jnp.bfloat16
  )
  params = {"kernel": arrays[1], "bias": jnp.full(7, 1 + 2**-12, jnp.float32)}
  zeros = jnp.zeros((1, 16))
  got = layer.apply({"params": params}, zeros)
  np.testing.assert_array_equal(got, [[1 + 2**-12] * 7])
  # In float32 it is linen's own layer, bit by bit.
  exact = nn.Dense(
    7, promote_dtype=mixed_precision.keep_bias, dtype=jnp.float32
  )
  np.testing.assert_array_equal(
    exact.apply({"params": params}, arrays[0]),
    nn.Dense(7).apply({"params": params}, arrays[0]),
  )
