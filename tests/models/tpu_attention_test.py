"""Tests of attention for TPUs, whose kernel is interpreted here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pallas_tpu

from magvit3d.models import tpu_attention
from magvit3d.parallel import sharding

_SHAPE = (1, 130, 2, 8)  # 126 more positions are put behind these.


@pytest.mark.parametrize(
  "is_causal", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_values_and_gradients_are_xlas(is_causal):
  arrays = [
    jax.random.normal(key, _SHAPE)
    for key in jax.random.split(jax.random.key(0), 4)
  ]

  def weighed(attend):
    def total(query, key, value, weights):
      attended = attend(query, key, value, is_causal=is_causal)
      return jnp.sum(attended * weights), attended

    return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(*arrays)

  with pallas_tpu.force_tpu_interpret_mode():
    got = weighed(tpu_attention.attend)
  expected = weighed(jax.nn.dot_product_attention)
  for ours, theirs in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
    # Sums of 130 weights times values of order 1, and of products of two such.
    bound = 2 * 130 * 6e-8 * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


@pytest.mark.parametrize(
  ("shape", "mesh_sizes", "is_taken"),
  [
    (_SHAPE, None, True),
    (_SHAPE, (1, 1, 1), True),
    ((8, 5, 4, 8), (2, 2, 2), True),
    ((6, 5, 4, 8), (2, 2, 2), False),  # Clips, over four.
    ((8, 5, 3, 8), (2, 2, 2), False),  # Heads, over two.
    ((1, 5, 2, 192), None, False),
    ((1, 5, 2, 256), None, True),
  ],
)
def test_shapes_that_devices_can_share_are_taken(shape, mesh_sizes, is_taken):
  if mesh_sizes is None:
    assert tpu_attention.suits(shape, shape) == is_taken
    return
  with jax.sharding.use_abstract_mesh(
    jax.sharding.AbstractMesh(mesh_sizes, sharding.AXES)
  ):
    assert tpu_attention.suits(shape, shape) == is_taken


def test_queries_and_keys_are_of_the_same_positions():
  assert not tpu_attention.suits(_SHAPE, (1, 131, 2, 8))
