"""Windows lie within the record, and all of them are drawn."""

import numpy as np
import pytest

from magvit3d.data.frame_window import fit_window
from magvit3d.errors import UserError


@pytest.mark.parametrize(
  ("num_frames", "stride", "starts"),
  [
    (None, 1, [0]),
    (None, 3, [0]),  # 0 3 6 9
    (None, 2, [0, 1]),
    (4, 1, [0, 1, 2, 3, 4, 5, 6]),
    (4, 2, [0, 1, 2, 3]),
    (1, 1, list(range(10))),
  ],
)
def test_every_window_that_fits_ten_frames_is_drawn(num_frames, stride, starts):
  window = fit_window(10, num_frames, stride)
  rng = np.random.default_rng(0)
  found = {tuple(range(10)[window.draw(rng)]) for _ in range(400)}
  count = num_frames or {1: 10, 2: 5, 3: 4}[stride]
  assert sorted(found) == [
    tuple(start + i * stride for i in range(count)) for start in starts
  ]


def test_middle_window_leaves_as_many_frames_before_as_after():
  assert fit_window(10, 4, 1).middle == slice(3, 7, 1)
  assert list(range(9)[fit_window(9, 3, 3).middle]) == [1, 4, 7]


@pytest.mark.parametrize(
  ("num_frames", "stride", "named"),
  [
    (11, 1, "config.input.num_frames=11 .* spans 11 frames.* have 10"),
    (4, 4, "config.input.frame_stride=4 spans 13 frames"),
    (0, 1, "config.input.num_frames=0"),
    (4, 0, "config.input.frame_stride=0"),
  ],
)
def test_windows_that_do_not_fit_are_refused(num_frames, stride, named):
  with pytest.raises(UserError, match=named):
    fit_window(10, num_frames, stride)
