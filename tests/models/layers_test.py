"""Tests of convolutions, padding and norms against other routes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import layers

pytestmark = pytest.mark.usefixtures("exact_products")


@pytest.fixture
def exact_products():
  with jax.default_matmul_precision("highest"):
    yield


def _normal(seed, *shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("kernel_width", [3, 4])
@pytest.mark.parametrize(
  ("mode", "options"),
  [
    ("edge", {"mode": "edge"}),
    ("constant", {"mode": "constant"}),
    ("wrap", {"mode": "wrap"}),
    ("linear_ramp", {"mode": "linear_ramp"}),
    ("reflect", {"mode": "reflect"}),
    ("reflect_even", {"mode": "reflect", "reflect_type": "even"}),
    ("reflect_odd", {"mode": "reflect", "reflect_type": "odd"}),
    ("symmetric_odd", {"mode": "symmetric", "reflect_type": "odd"}),
  ],
)
def test_padding_is_numpys(mode, options, kernel_width):
  x = _normal(0, 1, 4, 5, 3, 2)
  before, after = (kernel_width - 1) // 2, kernel_width // 2
  widths = [(0, 0), *[(before, after)] * 3, (0, 0)]
  got = layers.pad_spatial(x, (kernel_width,) * 3, mode)
  # Odd reflections are 2 a - b: one rounding a step.
  np.testing.assert_allclose(got, np.pad(x, widths, **options), atol=1e-6)


def test_constant_padding_equals_zero_padding():
  x = _normal(0, 1, 3, 4, 5, 2)
  same = layers.Conv(3, (3, 3, 3))
  padded = layers.Conv(3, (3, 3, 3), padding_mode="constant")
  variables = same.init(jax.random.key(0), x)
  np.testing.assert_allclose(
    padded.apply(variables, x), same.apply(variables, x), atol=1e-5
  )


def test_group_norm_standardises_each_group():
  x = 3 + 2 * _normal(0, 2, 3, 4, 5, 6)

  class Norm(nn.Module):
    @nn.compact
    def __call__(self, x):
      return layers.make_norm("GN", 3, jnp.float32)(x)

  got, variables = Norm().init_with_output(jax.random.key(0), x)
  assert set(variables["params"]) == {"GroupNorm_0"}
  groups = np.asarray(x, np.float64).reshape(2, -1, 3, 2)
  mean = groups.mean(axis=(1, 3), keepdims=True)
  deviation = np.sqrt(groups.var(axis=(1, 3), keepdims=True) + 1e-6)
  expected = ((groups - mean) / deviation).reshape(x.shape)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_no_norm_is_the_identity():
  x = _normal(0, 2, 3)
  assert layers.make_norm(None, 32, jnp.float32)(x) is x


def test_an_unknown_norm_names_the_known_ones():
  with pytest.raises(ValueError, match=r"'BN' is unknown; use 'GN', 'LN'"):
    layers.make_norm("BN", 32, jnp.float32)
