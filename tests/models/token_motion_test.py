"""Convolutions around a transformer of patches: what they see and move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_world

from magvit3d.models.token_motion import (
  TokenFeatures,
  TokenMemory,
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


def _remember(
  memory, params, shown, kernels, sees_past=None, start=None, **had
):
  """What each frame is told of what was shown, of width 1 x 3."""
  told = jnp.asarray(shown)
  return memory.apply(
    {"params": params} | had,
    told,
    jnp.asarray(shown),
    kernels,
    sees_past,
    start,
    mutable=["cache"],
  )


@pytest.fixture
def memory():
  """Keeps what it has where features are 0, and takes others in its place.

  Of clips of 4 frames of 1 x 3 tokens, which all come from one to the left.
  """
  kernels = np.zeros((2, 4, 1, 3, 1, 9), np.float32)
  kernels[..., 3 * 1 + 0] = 1
  params = {
    "gate": {"kernel": jnp.full((1, 1), 80.0), "bias": jnp.full(1, -40.0)},
    "gate_of_memory": jnp.zeros((1, 1)),
  }
  return TokenMemory(radius=1, num_frames=4), params, jnp.asarray(kernels)


def test_what_is_no_longer_seen_stays_and_is_moved_on(memory):
  shown = np.zeros((2, 4, 1, 3, 1), np.float32)
  shown[:, 0, 0, 0] = 1  # And then something else hides it.
  found, _ = _remember(*memory[:2], shown, memory[2], jnp.array([True, False]))
  wanted = np.zeros_like(shown)
  wanted[0, 1, 0, 1] = wanted[0, 2, 0, 2] = 1  # Then it has left the frame.
  # The gate is open or shut but for 1 / (1 + exp(40)) of it.
  np.testing.assert_allclose(found, wanted, atol=1e-15)


def test_a_memory_reads_on_frame_by_frame(memory):
  shown = np.random.default_rng(0).uniform(size=(2, 4, 1, 3, 1))
  shown = shown.astype(np.float32)
  network, params, kernels = memory
  whole, none = _remember(network, params, shown, kernels)
  assert not none
  had, parts = {}, []
  for start, stop in ((0, 2), (2, 3), (3, 4)):
    part = slice(start, stop)
    found, had = _remember(
      network, params, shown[:, part], kernels[:, part], start=start, **had
    )
    parts.append(found)
  np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-6)
  # A clip that begins has no memory of the one before.
  found, _ = _remember(
    network, params, shown[:, :2], kernels[:, :2], start=0, **had
  )
  np.testing.assert_allclose(found, whole[:, :2], atol=1e-6)


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
