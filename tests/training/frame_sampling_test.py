"""Tests of which frames the 2D tokenizer trains on."""

import numpy as np
import pytest

from magvit3d.training.frame_sampling import sampled_frames


@pytest.mark.parametrize(
  ("count", "num_frames", "expected"),
  # round(k T / (n + 1)), halves to even.
  [(4, 16, [3, 6, 10, 13]), (1, 5, [2]), (3, 10, [2, 5, 8]), (2, 2, [1, 1])],
)
def test_sampled_frames_are_spread_over_the_clip(count, num_frames, expected):
  got = sampled_frames(count, num_frames)
  np.testing.assert_array_equal(got, expected)
