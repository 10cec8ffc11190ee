"""Tests of the inception score's network.

Its numbers are compared with upstream's in tests/parity.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models.published.c3d import C3D


def _shapes(clip_shape):
  clips = jax.ShapeDtypeStruct(clip_shape, jnp.float32)
  return jax.eval_shape(C3D().init_with_output, jax.random.key(0), clips)


def test_clips_of_any_frame_size_give_one_row_each():
  logits, variables = _shapes((3, 16, 240, 320, 3))
  assert logits.shape == (3, 101)
  assert variables == _shapes((1, 16, 20, 30, 3))[1]


def test_it_has_the_published_number_of_parameters():
  _, variables = _shapes((1, 16, 112, 112, 3))
  offset = variables["params"].pop("x_offset")
  sizes = [np.prod(leaf.shape) for leaf in jax.tree.leaves(variables)]
  # Kernels and biases of 8 convolutions and of dense layers
  # 8192 -> 4096 -> 4096 -> 101.
  widths = (3, 64, 128, 256, 256, 512, 512, 512, 512)
  expected = sum(
    27 * before * after + after for before, after in itertools.pairwise(widths)
  )
  expected += 8193 * 4096 + 4097 * 4096 + 4097 * 101
  assert sum(sizes) == expected
  assert offset.shape == (16, 112, 112, 3)


@pytest.mark.parametrize("num_frames", [15, 17])
def test_other_frame_counts_are_an_error(num_frames):
  with pytest.raises(ValueError, match=rf"clips of {num_frames} frames.* 16"):
    _shapes((1, num_frames, 32, 32, 3))
