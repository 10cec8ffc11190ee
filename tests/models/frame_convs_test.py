"""Tests of convolutions over frames against XLA's 3D ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convolutions import assert_same, normal
from jax import lax

from magvit3d.models import frame_convs

pytestmark = pytest.mark.usefixtures("exact_products")


@pytest.fixture
def exact_products():
  with jax.default_matmul_precision("highest"):
    yield


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_convolution_over_frames_equals_xlas(depth):
  x, kernel = normal(0, 2, 5, 7, 3, 2), normal(1, depth, 3, 3, 2, 3)
  dimensions = ("NTHWC", "THWIO", "NTHWC")

  def reference(x, kernel):
    return lax.conv_general_dilated(
      x, kernel, (1, 1, 1), "SAME", dimension_numbers=dimensions
    )

  assert_same(frame_convs.conv3d_over_frames, reference, x, kernel, 420)


@pytest.mark.parametrize(("depth", "time_stride"), [(3, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("grid", [(3, 5, 4), (1, 2, 3)])
def test_transposed_convolution_over_frames_equals_xlas(
  grid, depth, time_stride
):
  x, kernel = normal(0, 2, *grid, 3), normal(1, depth, 4, 4, 3, 2)

  def over_frames(x, kernel):
    return frame_convs.conv_transpose3d_over_frames(x, kernel, time_stride)

  def reference(x, kernel):
    return lax.conv_transpose(x, kernel, (time_stride, 2, 2), "SAME")

  assert_same(over_frames, reference, x, kernel, 420)


# A 3 x 2 kernel, whose result is as large as the frames, or not.
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((1, 0), (0, 1))])
def test_second_derivatives_of_frames_equal_xlas(padding):
  x, kernel = normal(0, 6, 5, 7, 2), normal(1, 3, 2, 2, 4)

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

  got = slope(
    lambda x, kernel: frame_convs.frames_conv(x[None], kernel, padding)[0]
  )
  # As above, through two products of up to 210 terms.
  for ours, expected in zip(got, slope(reference), strict=True):
    bound = 3e-5 * np.abs(expected).max()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=bound)
