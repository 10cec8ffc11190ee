"""Tests of convolutions that resample: against the same in two operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convolutions import assert_same, normal
from jax import lax

from magvit3d.models import (
  frame_convs,
  layers,
  onednn,
  resampled_convs,
  resampling,
  target,
)

pytestmark = pytest.mark.usefixtures("exact_products")
_IMPLEMENTATIONS = [
  "xla",
  "frames",
  pytest.param(
    "onednn",
    marks=pytest.mark.skipif(
      not onednn.is_available(), reason=str(onednn.why_not())
    ),
  ),
]


@pytest.fixture
def exact_products():
  with jax.default_matmul_precision("highest"):
    yield


def _num_flops(function, *arrays) -> float:
  return jax.jit(function).lower(*arrays).compile().cost_analysis()["flops"]


def _layer(implementation, **resampling):
  """Returns a 3-wide convolution of a kernel, as a card would get it."""
  ndim = len(next(iter(resampling.values())))
  layer = layers.Conv(
    4,
    (3,) * ndim,
    use_bias=False,
    implementation=implementation,
    **resampling,
  )

  def apply(x, kernel):
    with target.made_for("gpu"):
      return layer.apply({"params": {"kernel": kernel}}, x)

  return apply


def _plain(x, kernel):
  return frame_convs.conv(x, kernel, (1,) * (x.ndim - 2), "SAME")


@pytest.mark.parametrize("implementation", _IMPLEMENTATIONS)
@pytest.mark.parametrize("strides", [(2, 2, 2), (1, 2, 2), (2, 2)])
def test_upsampling_is_repeating_first(strides, implementation):
  x = normal(0, 2, *(3, 4, 5)[: len(strides)], 5)
  kernel = normal(1, *(3,) * len(strides), 5, 4)

  def reference(x, kernel):
    return _plain(resampling.upsample_nearest(x, strides), kernel)

  assert_same(
    _layer(implementation, upsampling=strides), reference, x, kernel, 768
  )


@pytest.mark.parametrize("implementation", _IMPLEMENTATIONS)
@pytest.mark.parametrize(
  ("grid", "strides"),
  [
    ((4, 6, 8), (2, 2, 2)),
    ((3, 4, 6), (1, 2, 2)),
    ((3, 4, 6), (2, 2, 2)),  # An odd axis: its last value stays alone.
    ((4, 6), (2, 2)),
  ],
)
def test_pooling_is_averaging_afterwards(grid, strides, implementation):
  x, kernel = normal(0, 2, *grid, 5), normal(1, *(3,) * len(grid), 5, 4)

  def reference(x, kernel):
    return resampling.average_pool(_plain(x, kernel), strides)

  assert_same(
    _layer(implementation, pooling=strides), reference, x, kernel, 768
  )


@pytest.mark.parametrize("padding_mode", ["edge", "reflect"])
@pytest.mark.parametrize("name", ["upsampling", "pooling"])
def test_other_paddings_are_of_the_finer_grid(name, padding_mode):
  x = normal(0, 1, 4, 4, 6, 2)
  plain = layers.Conv(3, (3, 3, 3), padding_mode=padding_mode)
  variables = plain.init(jax.random.key(0), x)
  with target.made_for("gpu"):
    got = layers.Conv(
      3, (3, 3, 3), padding_mode=padding_mode, **{name: (2, 2, 2)}
    ).apply(variables, x)
  if name == "upsampling":
    x = resampling.upsample_nearest(x, (2, 2, 2))
  expected = plain.apply(variables, x)
  if name == "pooling":
    expected = resampling.average_pool(expected, (2, 2, 2))
  np.testing.assert_allclose(got, expected, atol=1e-5)


# 64 products in place of 216; on the few cells here padding is a part of them.
@pytest.mark.parametrize("name", ["upsampling", "pooling"])
def test_the_finer_grid_is_not_convolved(name):
  size = 8 if name == "upsampling" else 16
  x, kernel = normal(0, 1, *(size,) * 3, 5), normal(1, 3, 3, 3, 5, 4)
  ours = _num_flops(_layer("xla", **{name: (2, 2, 2)}), x, kernel)
  finer = normal(0, 1, 16, 16, 16, 5)
  assert ours < 0.4 * _num_flops(_plain, finer, kernel)


def test_taps_are_summed_before_they_are_rounded():
  """1 + 2**-9 alone would be 1 in bfloat16, and its sum with -1 none."""
  kernel = jnp.zeros((3, 3, 3, 1, 4))
  kernel = kernel.at[0, 1, 1].set(1 + 2.0**-9).at[1, 1, 1].set(-1)
  x = jnp.zeros((1, 3, 3, 3, 1), jnp.bfloat16).at[0, 1, 1, 1].set(1)
  layer = layers.Conv(
    4, (3, 3, 3), use_bias=False, upsampling=(2, 2, 2), dtype=jnp.bfloat16
  )
  with target.made_for("gpu"):
    got = layer.apply({"params": {"kernel": kernel}}, x)
  assert got.dtype == jnp.bfloat16
  np.testing.assert_array_equal(got[0, 3, 2:4, 2:4].astype(float), 2.0**-9)


@pytest.mark.parametrize("strides", [(1, 2, 2), (2, 2, 2), (2, 2)])
def test_transposed_convolutions_are_jaxs(strides):
  x = normal(0, 2, *(3, 4, 5)[: len(strides)], 3)
  kernel = normal(1, *(4,) * len(strides), 3, 2)

  def ours(x, kernel):
    return resampled_convs.conv_transpose(x, kernel, strides, "xla")

  def reference(x, kernel):
    return lax.conv_transpose(x, kernel, strides, "SAME")

  assert_same(ours, reference, x, kernel, 768)
