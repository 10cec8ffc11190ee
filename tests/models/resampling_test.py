"""Tests of halving and doubling grids against other routes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from magvit3d.models import resampling


def _normal(seed, *shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


def test_average_pool_leaves_what_is_outside_out_of_the_mean():
  x = _normal(0, 2, 1, 5, 4, 3)
  got = resampling.average_pool(x, (2, 2, 2))
  expected = np.zeros((2, 1, 3, 2, 3))
  for t, row, column in np.ndindex(1, 3, 2):
    window = (
      slice(None),
      slice(2 * t, 2 * t + 2),
      slice(2 * row, 2 * row + 2),
      slice(2 * column, 2 * column + 2),
    )
    expected[:, t, row, column] = np.mean(np.asarray(x)[window], axis=(1, 2, 3))
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_average_pool_leaves_axes_of_window_one_alone():
  x = _normal(0, 1, 3, 2, 2, 1)
  got = resampling.average_pool(x, (1, 2, 2))
  np.testing.assert_allclose(
    got[:, :, 0, 0], jnp.mean(x, axis=(2, 3)), atol=1e-6
  )


def test_average_pool_refuses_other_windows():
  with pytest.raises(ValueError, match="windows of 1 or 2, not 3"):
    resampling.average_pool(jnp.zeros((1, 3, 3, 1)), (3, 3))


@pytest.mark.parametrize("grid", [(8, 6), (7, 5), (1, 2), (16, 1)])
def test_blur_pool_is_a_depthwise_convolution_with_zero_padding(grid):
  x = _normal(0, 2, *grid, 3)
  taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
  kernel = jnp.asarray(np.tile(taps[..., None, None], (1, 1, 1, 3)))
  expected = lax.conv_general_dilated(
    x,
    kernel,
    (2, 2),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=3,
  )
  # 16 products of normals, float32.
  np.testing.assert_allclose(resampling.blur_pool(x), expected, atol=1e-6)


def test_depth_to_space_puts_rows_first():
  x = jnp.arange(2 * 8, dtype=jnp.float32).reshape(1, 1, 2, 8)
  got = resampling.depth_to_space(x)
  # Two channels; each pixel's eight values are (row, column, channel).
  np.testing.assert_array_equal(
    got[0, :, :, 0], [[0, 2, 8, 10], [4, 6, 12, 14]]
  )
  np.testing.assert_array_equal(got[..., 1], got[..., 0] + 1)


def test_nearest_upsampling_repeats_values():
  x = _normal(0, 1, 2, 3, 2, 2)
  got = resampling.upsample_nearest(x, (1, 2, 2))
  expected = np.kron(np.asarray(x), np.ones((1, 1, 2, 2, 1), np.float32))
  np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
  "window, strides", [((3, 3, 3), (1, 1, 1)), ((1, 3, 2), (1, 2, 2))]
)
def test_max_pool_is_that_of_windows_with_its_gradient(window, strides):
  """No two values are equal, so that one of each window gets its gradient."""
  rng = np.random.default_rng(0)
  shape = (2, 3, 5, 6, 2)
  x = jnp.asarray(rng.permutation(360).reshape(shape) - 180.0, jnp.float32)

  def by_windows(x):
    return nn.max_pool(x, window, strides, "SAME")

  found, pull_back = jax.vjp(
    lambda x: resampling.max_pool(x, window, strides), x
  )
  wanted, pull_back_wanted = jax.vjp(by_windows, x)
  np.testing.assert_array_equal(found, wanted)
  way = jnp.asarray(rng.integers(1, 9, wanted.shape), jnp.float32)
  np.testing.assert_array_equal(pull_back(way)[0], pull_back_wanted(way)[0])
