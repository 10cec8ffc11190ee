"""Tests of convolutions, padding and norms against other routes."""

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
