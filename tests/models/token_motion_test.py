"""Convolutions around a transformer of patches: what they see and move."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_world

from magvit3d.models.clip_units import FrameConv
from magvit3d.models.token_motion import (
  TokenFeatures,
  from_patches,
  move,
  to_patches,
)
from magvit3d.tokens.vocabulary import MASK

_IDS = 5


def test_a_patch_has_its_tokens_row_by_row():
  x = np.arange(2 * 3 * 4 * 6 * 2).reshape(2, 3, 4, 6, 2)
  patches = np.asarray(to_patches(jnp.asarray(x), 2))
  assert patches.shape == (2, 3 * 2 * 3, 2 * 2 * 2)
  # Frame 1, patch in row 1 and column 2.
  np.testing.assert_array_equal(
    patches[1, 6 + 3 + 2], x[1, 1, 2:4, 4:6].ravel()
  )
  back = from_patches(jnp.asarray(patches, jnp.float32), 2, x.shape[:4])
  np.testing.assert_array_equal(back, x)


def test_tokens_come_from_where_their_kernels_point():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(1, 2, 4, 5, 4)).astype(np.float32)
  # One kernel takes from a row below, the other from a column to the left.
  kernels = np.zeros((1, 2, 4, 5, 2, 9), np.float32)
  kernels[..., 0, 3 * 2 + 1] = 1
  kernels[..., 1, 3 * 1 + 0] = 1
  found = move(jnp.asarray(features), jnp.asarray(kernels), radius=1)
  wanted = np.zeros_like(features)
  wanted[:, :, :-1, :, :2] = features[:, :, 1:, :, :2]
  wanted[:, :, :, 1:, 2:] = features[:, :, :, :-1, 2:]
  np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_frames_are_convolved_as_by_flax(dtype):
  theirs, ours = (kind(5, (3, 3), dtype=dtype) for kind in (nn.Conv, FrameConv))
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (2, 3, 4, 6, 3))
  params = theirs.init(keys[1], x)
  # A bias that is not 0.
  params = jax.tree.map(lambda leaf: leaf + 0.5, params)
  chex.assert_trees_all_equal_shapes_and_dtypes(params, ours.init(keys[1], x))
  weights = jax.random.normal(keys[2], (2, 3, 4, 6, 5))

  def derivatives(network):
    def total(params, x):
      out = network.apply(params, x)
      assert out.dtype == dtype
      return (weights * out).sum()

    return jax.jit(jax.value_and_grad(total, (0, 1)))(params, x)

  # Sums of at most 144 products, whose roundings add up as random ones do; in
  # bfloat16 sums are float32, and what comes of them is rounded twice.
  scale = (12 if dtype == jnp.float32 else 2) * jnp.finfo(dtype).eps
  chex.assert_trees_all_equal_shapes_and_dtypes(
    derivatives(ours), derivatives(theirs)
  )
  leaves = map(jax.tree.leaves, (derivatives(ours), derivatives(theirs)))
  for found, wanted in zip(*leaves, strict=True):
    most = float(scale * np.abs(wanted).max())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=most)


def _features(tokens, sees_past=None):
  stem = TokenFeatures(_IDS, features=4, num_frames=tokens.shape[1])
  params = stem.init(jax.random.key(1), tokens)
  return stem.apply(params, tokens, sees_past)


def test_features_are_of_a_token_its_neighbours_and_the_frame_before():
  rng = np.random.default_rng(0)
  tokens = rng.integers(MASK, _IDS - 1, size=(2, 4, 8, 8))
  found, before = _features(jnp.asarray(tokens))
  np.testing.assert_array_equal(before[:, 1:], found[:, :-1])
  assert not before[:, 0].any()
  tokens[:, 1, 4, 4] = (tokens[:, 1, 4, 4] + 2) % (_IDS - 1)
  changed = (_features(jnp.asarray(tokens))[0] != found).any(-1)
  wanted = np.zeros(changed.shape, bool)
  wanted[:, 1:3, 3:6, 3:6] = True
  np.testing.assert_array_equal(changed, wanted)


def test_a_clip_that_does_not_see_its_past_is_single_frames():
  rng = np.random.default_rng(0)
  tokens = jnp.asarray(rng.integers(MASK, _IDS - 1, size=(1, 3, 8, 8)))
  found, before = _features(tokens, jnp.array([False]))
  assert not before.any()
  for frame in range(3):
    alone, _ = _features(tokens[:, frame : frame + 1])
    # One and the same sum, of other sizes.
    np.testing.assert_allclose(found[:, frame], alone[:, 0], atol=1e-6)


def test_without_motion_parameters_are_those_of_patches_alone():
  model = small_world.make_model()
  names = set(jax.eval_shape(model.init, jax.random.key(0)))
  assert names == {
    "BertEmbed_0", "BertLayer_0", "BertLayer_1", "BertMlmLayer_0",
    "action_dense",
  }  # fmt: skip
