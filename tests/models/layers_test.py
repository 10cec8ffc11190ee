"""Tests of convolutions, padding and norms against other routes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from magvit3d.models import layers

pytestmark = pytest.mark.usefixtures("exact_products")


@pytest.fixture
def exact_products():
  with jax.default_matmul_precision("highest"):
    yield


def _normal(seed, *shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


def _value_and_grads(function, x, kernel):
  """Output, and gradients of a sum that weighs every output differently."""

  def objective(x, kernel):
    out = function(x, kernel)
    return jnp.sum(out * _normal(9, *out.shape)), out

  grad = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)
  (_, out), grads = jax.jit(grad)(x, kernel)
  return out, *grads


def _assert_same(function, reference, x, kernel):
  got = _value_and_grads(function, x, kernel)
  expected = _value_and_grads(reference, x, kernel)
  # Sums of up to 420 products of order 1, float32: 420 * 6e-8 at the most.
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=3e-5 * np.abs(b).max())


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_convolution_over_frames_equals_xlas(depth):
  x, kernel = _normal(0, 2, 5, 7, 3, 2), _normal(1, depth, 3, 3, 2, 3)
  dimensions = ("NTHWC", "THWIO", "NTHWC")

  def reference(x, kernel):
    return lax.conv_general_dilated(
      x, kernel, (1, 1, 1), "SAME", dimension_numbers=dimensions
    )

  _assert_same(layers.conv3d_over_frames, reference, x, kernel)


@pytest.mark.parametrize("time_stride", [1, 2])
@pytest.mark.parametrize("grid", [(3, 5, 4), (1, 2, 3)])
def test_transposed_convolution_over_frames_equals_xlas(grid, time_stride):
  x, kernel = _normal(0, 2, *grid, 3), _normal(1, 4, 4, 4, 3, 2)

  def over_frames(x, kernel):
    return layers.conv_transpose3d_over_frames(x, kernel, time_stride)

  def reference(x, kernel):
    return lax.conv_transpose(x, kernel, (time_stride, 2, 2), "SAME")

  _assert_same(over_frames, reference, x, kernel)


# A 3 x 2 kernel, whose result is as large as the frames, or not.
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((1, 0), (0, 1))])
def test_second_derivatives_of_frames_equal_xlas(padding):
  x, kernel = _normal(0, 6, 5, 7, 2), _normal(1, 3, 2, 2, 4)

  def slope(convolve):
    """Gradients of the squared length of a gradient, as R1 takes them."""

    def squares(x, kernel):
      grad = jax.grad(lambda x: jnp.sum(jnp.sin(convolve(x, kernel))))(x)
      return jnp.sum(grad**2)

    return jax.jit(jax.grad(squares, argnums=(0, 1)))(x, kernel)

  def reference(x, kernel):
    return lax.conv_general_dilated(
      x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )

  got = slope(lambda x, kernel: layers.frames_conv(x[None], kernel, padding)[0])
  # As above, through two products of up to 210 terms.
  for ours, expected in zip(got, slope(reference), strict=True):
    bound = 3e-5 * np.abs(expected).max()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=bound)


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
