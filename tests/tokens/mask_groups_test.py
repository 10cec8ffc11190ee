"""Masks by view, tube, frame and block, alone and mixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens import mask_scores, masking

_VIEWS, _TIMES, _HEIGHT, _WIDTH = 3, 4, 4, 5
_SHAPE = (64, _VIEWS * _TIMES, _HEIGHT, _WIDTH)
_TOTAL = _VIEWS * _TIMES * _HEIGHT * _WIDTH
# What is hidden as a whole: axes of (views, times, height, width) to sum over.
_WITHIN = {"view": (2, 3, 4), "tube": (2,), "frame": (3, 4)}


def _hidden(mask_type, share, seed=0, block_shape=(1, 1, 1), maskable=None):
  """(b, v, t, h, w): which tokens are hidden."""
  maskable = jnp.ones(_SHAPE, bool) if maskable is None else maskable
  score = mask_scores.make_scores(
    jax.random.key(seed), maskable, mask_type, block_shape, _VIEWS
  )
  count = jnp.full(_SHAPE[0], round(share * _TOTAL))
  hidden = masking.lowest_scores(score, maskable, count)
  return np.asarray(hidden).reshape(-1, _VIEWS, _TIMES, _HEIGHT, _WIDTH)


@pytest.mark.parametrize("mask_type", list(_WITHIN))
@pytest.mark.parametrize("share", [1 / 3, 0.5])
def test_groups_are_hidden_as_a_whole_but_for_the_last(mask_type, share):
  hidden = _hidden(mask_type, share)
  np.testing.assert_array_equal(
    hidden.sum(axis=(1, 2, 3, 4)), round(share * _TOTAL)
  )
  axes = _WITHIN[mask_type]
  size = np.prod([hidden.shape[axis] for axis in axes])
  counts = hidden.sum(axis=axes).reshape(len(hidden), -1)
  is_partial = (counts > 0) & (counts < size)
  # Groups differ by less than their inner noise of 1e-3 with a chance of
  # 2e-3 a pair of neighbours in order; there are at most 60 of them.
  num_partial = is_partial.sum(axis=1)
  assert np.mean(num_partial <= 1) > 0.7
  assert num_partial.max() <= 4
  # All groups have their turn.
  assert (counts.max(axis=0) == size).all() and (counts.min(axis=0) == 0).all()


@pytest.mark.parametrize("mask_type", ["block", "frame_by_frame"])
def test_a_view_is_masked_as_if_it_were_alone(mask_type):
  """No block reaches from one view into the next."""
  maskable = jnp.ones((4, *_SHAPE[1:]), bool)
  together = mask_scores.make_scores(
    jax.random.key(0), maskable, mask_type, (2, 2, 2), _VIEWS
  )
  alone = mask_scores.make_scores(
    jax.random.key(0), maskable.reshape(12, _TIMES, 4, 5), mask_type, (2, 2, 2)
  )
  # The same draws, as the views are rows then.
  np.testing.assert_array_equal(together.reshape(alone.shape), alone)


def test_frames_from_the_last_on_are_those_of_every_view():
  hidden = _hidden("frame_by_frame", 0.5)
  assert hidden[:, :, 2:].all() and not hidden[:, :, :2].any()


def test_what_cannot_be_hidden_is_not():
  rng = np.random.default_rng(0)
  maskable = jnp.asarray(rng.uniform(size=_SHAPE) < 0.7)
  for mask_type in mask_scores.MASK_TYPES:
    hidden = _hidden(mask_type, 0.3, maskable=maskable, block_shape=(1, 2, 2))
    assert not hidden.reshape(_SHAPE)[~np.asarray(maskable)].any()


def test_each_clip_has_one_of_several_types():
  """Whole views are hidden in a third of the clips, and never otherwise."""
  shares = []
  for seed in range(8):
    hidden = _hidden("random, view,tube", 1 / 3, seed)
    whole = hidden.sum(axis=(2, 3, 4)) == _TOTAL / _VIEWS
    tube = np.isin(hidden.sum(axis=2), (0, _TIMES)).mean(axis=(1, 2, 3)) > 0.9
    shares.append([whole.any(axis=1).mean(), tube.mean()])
  mean = np.mean(shares, axis=0)
  # Views are tubes as well. 5 deviations of a share of 512 clips.
  limits = 5 * np.sqrt(np.array([1 / 3, 2 / 3]) * [2 / 3, 1 / 3] / 512)
  assert (np.abs(mean - [1 / 3, 2 / 3]) < limits).all(), mean


def test_one_type_alone_draws_as_it_ever_did():
  """Also with several views: 'random' knows none."""
  maskable = jnp.ones(_SHAPE, bool)
  rng = jax.random.key(5)
  np.testing.assert_array_equal(
    mask_scores.make_scores(rng, maskable, "random", num_views=_VIEWS),
    jax.random.uniform(rng, _SHAPE),
  )


@pytest.mark.parametrize("text", ["", "views", "random,", "tube;view"])
def test_unknown_types_are_errors(text):
  with pytest.raises(ValueError, match="use one of random, block"):
    mask_scores.parse_mask_types(text)
