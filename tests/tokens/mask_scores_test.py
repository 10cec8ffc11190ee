"""Tests of the scores that say which tokens are hidden together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens import mask_scores


@pytest.mark.parametrize(
  ("shape", "block"), [((2, 4, 4, 6), (2, 2, 3)), ((1, 3, 5, 4), (2, 2, 2))]
)
def test_blocks_hold_the_mean_of_their_pooled_positions(shape, block):
  rng = np.random.default_rng(0)
  score = rng.uniform(size=shape).astype(np.float32)
  is_pooled = rng.uniform(size=shape) < 0.7
  expected = score.copy()
  for corner in np.ndindex(*shape):
    if any(i % n for i, n in zip(corner[1:], block, strict=True)):
      continue
    ends = zip(corner[1:], block, strict=True)
    where = (corner[0], *(slice(i, i + n) for i, n in ends))
    chosen = is_pooled[where]
    if chosen.any():
      mean = score[where][chosen].astype(np.float64).mean()
      expected[where] = np.where(chosen, mean, score[where])
  got = mask_scores.pool_blocks(
    jnp.asarray(score), jnp.asarray(is_pooled), block
  )
  # Means of up to 12 float32 values below 1.
  np.testing.assert_allclose(got, expected, atol=12 * 2**-24)


@pytest.mark.parametrize("mask_type", mask_scores.MASK_TYPES)
def test_scores_are_infinite_just_where_nothing_is_masked(mask_type):
  maskable = jnp.ones((2, 4, 6, 6), bool).at[:, 0].set(False)
  score = mask_scores.make_scores(
    jax.random.key(0), maskable, mask_type, (1, 2, 2)
  )
  np.testing.assert_array_equal(np.isfinite(score), maskable)


def test_frames_are_hidden_from_the_last_one_on():
  maskable = jnp.ones((3, 5, 4, 4), bool)
  score = mask_scores.make_scores(jax.random.key(0), maskable, "frame_by_frame")
  low, high = np.min(score, axis=(2, 3)), np.max(score, axis=(2, 3))
  assert np.all(low[:, :-1] > high[:, 1:])


def test_neighbours_have_like_scores_in_blocks():
  maskable = jnp.ones((8, 4, 16, 16), bool)

  def draw(seed, mask_type):
    return np.asarray(
      mask_scores.make_scores(
        jax.random.key(seed), maskable, mask_type, (1, 4, 4)
      )
    )

  def likeness(score):
    deviation = score - score.mean()
    pairs = deviation[..., 1:] * deviation[..., :-1]
    return pairs.mean() / (deviation**2).mean()

  # The last pooling alone makes 3 of 4 neighbours equal. Single scores have 0,
  # give or take five deviations of a mean of 7,680 products.
  assert likeness(draw(1, "block")) > 0.75
  assert abs(likeness(draw(1, "random"))) < 5 / np.sqrt(8 * 4 * 16 * 15)
  assert not np.allclose(draw(1, "block"), draw(2, "block"))


def test_blocks_of_one_token_are_random_masks():
  maskable = jnp.ones((1, 2, 3, 3), bool)
  rng = jax.random.key(0)
  np.testing.assert_array_equal(
    mask_scores.make_scores(rng, maskable, "block"),
    mask_scores.make_scores(rng, maskable, "random"),
  )


def test_an_unknown_type_names_the_known_ones():
  maskable = jnp.ones((1, 2, 3, 3), bool)
  with pytest.raises(ValueError, match="'tubes'; use one of random, block"):
    mask_scores.make_scores(jax.random.key(0), maskable, "tubes")
