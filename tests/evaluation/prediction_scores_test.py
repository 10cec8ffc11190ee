"""Baselines and scores of clips that are predicted from given views."""

import numpy as np

from data_gen.rendering import cameras as rigs
from magvit3d.evaluation import image_metrics, prediction_scores
from magvit3d.tokens.conditions import Condition
from magvit3d.tokens.tasks import Task

_POSITIONS = [[2.0, 0, 1], [0, 2.0, 1], [-2.0, 0.1, 1]]


def _poses():
  poses = [rigs.look_at(np.array(p), np.zeros(3)) for p in _POSITIONS]
  return np.stack([np.stack(poses)] * 2)


def _clips(seed=0):
  rng = np.random.default_rng(seed)
  masks = np.zeros((6, 4, 12, 12), np.uint8)
  masks[:, :, 4:8, 4:8] = 1
  return {
    "frames": rng.integers(0, 200, (6, 4, 12, 12, 3)).astype(np.uint8),
    "masks": masks,
    "background": np.zeros((6, 1, 1, 3), np.float32),
  }


def test_nearest_camera_is_that_of_the_nearest_centre():
  is_given = np.array([[True, False, True], [False, True, False]])
  nearest = prediction_scores.nearest_given_views(is_given, _poses())
  # The second camera is sqrt(8) m from the first, sqrt(4 + 1.9^2) = 2.76 m
  # from the third.
  assert nearest.tolist() == [0, 2, 2, 4, 4, 4]


def test_baselines_copy_what_is_given():
  clips = _clips()
  is_given = np.array([[True, False, False], [False, False, True]])
  task = Task(
    "view_frame_prediction",
    Condition("frame_prediction", cond_frames=2),
    num_given_views=1,
  )
  found = prediction_scores.baselines(task, clips, is_given, _poses())
  assert list(found) == [
    "copy of the last given frame",
    "copy of the nearest given view",
    "background only",
  ]
  real = clips["frames"] / np.float32(255)
  np.testing.assert_array_equal(
    found["copy of the nearest given view"], real[[0, 0, 0, 5, 5, 5]]
  )
  last = found["copy of the last given frame"]
  np.testing.assert_array_equal(last[:, 2:], real[:, [1, 1]])
  whole = Task("view_prediction", num_given_views=1)
  assert list(
    prediction_scores.baselines(whole, clips, is_given, _poses())
  ) == [
    "copy of the nearest given view",
    "background only",
  ]


def test_only_what_is_asked_for_is_scored():
  clips = _clips()
  real = clips["frames"] / np.float32(255)
  made = real.copy()
  made[[0, 3]] = 0  # Not asked for.
  made[:, 0] = 0  # Given.
  made[1, 2] += 0.1  # A frame of one clip of 4.
  is_asked = np.array([False, True, True, False, True, True])
  ((name, psnr, _, foreground),) = prediction_scores.score_rows(
    {"made": made}, clips, is_asked, first_frame=1
  )
  same = real[[2], 1:]
  perfect_psnr = image_metrics.psnr(same, same)[0]
  perfect = image_metrics.foreground_psnr(
    same, same, clips["masks"][[2], 1:] > 0
  )
  # The changed frame has 20 dB; it is one of three of one clip of four.
  assert name == "made"
  expected = (11 * perfect_psnr + 20) / 12
  np.testing.assert_allclose(psnr, expected, rtol=1e-5)
  assert 20 < foreground < perfect[0]
