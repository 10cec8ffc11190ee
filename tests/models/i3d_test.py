"""Tests of the Frechet video distance's network.

Its numbers are compared with upstream's in tests/parity.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models.published.i3d import I3D, FrozenBatchNorm


def _shapes(clip_shape):
  clips = jax.ShapeDtypeStruct(clip_shape, jnp.float32)
  return jax.eval_shape(I3D().init_with_output, jax.random.key(0), clips)


@pytest.mark.parametrize("num_frames", [9, 10, 12, 16, 33])
def test_clips_of_nine_frames_or_more_give_one_row_each(num_frames):
  (logits, pool), _ = _shapes((3, num_frames, 40, 64, 3))
  assert logits.shape == (3, 400)
  assert pool.shape == (3, 1024)


def test_parameters_do_not_depend_on_the_clips():
  small, large = _shapes((1, 9, 32, 32, 3))[1], _shapes((2, 20, 300, 80, 3))[1]
  assert small == large


def test_fewer_than_nine_frames_are_an_error():
  with pytest.raises(ValueError, match=r"clips of 8 frames.*at least 9"):
    _shapes((1, 8, 32, 32, 3))


def test_batch_norm_uses_its_stored_statistics():
  rng = np.random.default_rng(0)
  x = rng.standard_normal((2, 2, 3, 3, 4)).astype(np.float32)
  mean, shift = rng.standard_normal((2, 4)).astype(np.float32)
  variance = rng.random(4).astype(np.float32) + 0.1
  params = dict(moving_mean=mean, moving_variance=variance, beta=shift)
  got = FrozenBatchNorm().apply({"params": params}, jnp.asarray(x))
  expected = (x - mean) / np.sqrt(variance + 1e-3) + shift
  # A handful of float32 roundings of values of order 1 to 10.
  np.testing.assert_allclose(got, expected, atol=1e-5)
