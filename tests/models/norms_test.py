"""Tests of norms against formulas and flax's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import norms


def _normal(seed, *shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


def test_group_norm_standardises_each_group():
  x = 3 + 2 * _normal(0, 2, 3, 4, 5, 6)

  class Norm(nn.Module):
    @nn.compact
    def __call__(self, x):
      return norms.make_norm("GN", 3, jnp.float32)(x)

  got, variables = Norm().init_with_output(jax.random.key(0), x)
  assert set(variables["params"]) == {"GroupNorm_0"}
  groups = np.asarray(x, np.float64).reshape(2, -1, 3, 2)
  mean = groups.mean(axis=(1, 3), keepdims=True)
  deviation = np.sqrt(groups.var(axis=(1, 3), keepdims=True) + 1e-6)
  expected = ((groups - mean) / deviation).reshape(x.shape)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def _flax(x, scale, bias, activation):
  norm = nn.GroupNorm(3, epsilon=1e-6, dtype=x.dtype)
  return activation(norm.apply({"params": {"scale": scale, "bias": bias}}, x))


def _ours(x, scale, bias, activation):
  return norms.activated_group_norm(x, scale, bias, 3, activation)


def _gradients(norm, activation, dtype=jnp.float32):
  """Of a sum that weighs every result differently; and their own."""
  x = (2 + 3 * _normal(0, 2, 2, 3, 4, 6)).astype(dtype)
  parameters = 1 + _normal(1, 6) / 3, _normal(2, 6)

  def weighed(x, scale, bias):
    out = norm(x, scale, bias, activation)
    return jnp.sum(out * _normal(9, *out.shape).astype(dtype)), out

  first = jax.grad(weighed, argnums=(0, 1, 2), has_aux=True)

  def squares(*arrays):
    gradients, out = first(*arrays)
    told = (*gradients, out)
    return sum(jnp.sum(g**2) for g in gradients), told

  second = jax.grad(squares, argnums=(0, 1, 2), has_aux=True)
  return jax.tree.leaves(jax.jit(second)(x, *parameters))


# The discriminator is differentiated twice.
@pytest.mark.parametrize("activation", [nn.swish, nn.relu, lambda x: x])
def test_values_and_both_derivatives_are_flaxs(activation):
  got = _gradients(_ours, activation)
  expected = _gradients(_flax, activation)
  assert len(got) == 7
  for a, b in zip(got, expected, strict=True):
    # Sums of 144 and fewer terms of order 1, some differences of such sums:
    # twice 144 * 6e-8, of the largest.
    np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max())


def test_bfloat16_is_rounded_where_flax_rounds():
  got = _gradients(_ours, nn.swish, jnp.bfloat16)
  expected = _gradients(_flax, nn.swish, jnp.bfloat16)
  for a, b in zip(got[3:], expected[3:], strict=True):
    assert a.dtype == b.dtype
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    # The gradient between the two is rounded there and not here: 2**-9 of it.
    np.testing.assert_allclose(a, b, rtol=0, atol=2**-6 * np.abs(b).max())


def test_groups_must_divide_the_channels():
  with pytest.raises(ValueError, match="num_groups=4 does not divide 6"):
    norms.GroupNorm(4).init(jax.random.key(0), jnp.zeros((1, 2, 6)))


def test_no_norm_is_the_identity():
  x = _normal(0, 2, 3)
  assert norms.make_norm(None, 32, jnp.float32)(x) is x


def test_an_unknown_norm_names_the_known_ones():
  with pytest.raises(ValueError, match=r"'BN' is unknown; use 'GN', 'LN'"):
    norms.make_norm("BN", 32, jnp.float32)
