"""Paths from rendered pixels, in metres."""

import numpy as np
import pytest
import small_scenes

from data_gen.rendering import cameras
from magvit3d.data.scene_clips import SceneClips
from magvit3d.evaluation.metres import trajectories
from magvit3d.evaluation.metres.silhouettes import KnownSolid
from magvit3d.evaluation.metres.triangulation import Points

_PATH = np.array([[0, 0, 0], [0.1, 0, 0], [0.2, 0.1, 0], [0.3, 0.3, 0.1]])


def _points(positions):
  positions = np.array(positions, float)
  is_found = ~np.isnan(positions).any(-1)
  residual_px = np.where(is_found, 0.0, np.nan)
  return Points(positions, residual_px, is_found, np.tile(is_found, (2, 1)))


@pytest.mark.parametrize(
  ("options", "limit_m"),
  [
    # A pixel of 64 is 29 mm wide; the rim's pixels average out to a tenth.
    ({}, 0.005),
    ({"camera_rig": "2,0,1; 0,2,1"}, 0.005),
    (
      {"camera_rig": "random:4", "background": "random", "spin": 1.0},
      0.005,
    ),
    ({"ground_plane": True}, 0.008),
  ],
)
def test_path_is_found_in_rendered_frames(tmp_path, options, limit_m):
  source = small_scenes.make(tmp_path, **options, image_size=64)
  clips, corrected, raw = SceneClips(source), [], []
  for index in range(len(source)):
    sample = clips[index]
    given = [
      sample[key]
      for key in ("frames", "background", "intrinsics", "camera_from_world")
    ]
    shape = source.class_names[sample["labels"]].split("_")[0]
    solid = KnownSolid(shape, float(sample["size"]), sample["orientation"])
    for known, errors in ((solid, corrected), (None, raw)):
      found = trajectories.estimate(*given, known)
      assert found.is_found.all()
      errors.append(
        trajectories.average_displacement_error(
          found.positions, sample["trajectory"]
        )
      )
  assert np.mean(corrected) < limit_m
  # A third are cones, whose centroid is about 0.1 m off.
  assert np.mean(raw) > 0.02


def test_one_view_is_refused(tmp_path):
  with pytest.raises(ValueError, match="1 view cannot tell"):
    trajectories.estimate(
      np.zeros((1, 4, 16, 16, 3), np.uint8),
      np.zeros((1, 1, 1, 3), np.float32),
      np.eye(3)[None],
      np.eye(3, 4)[None],
    )


def test_empty_frames_give_failures_not_errors():
  rig = cameras.make_default_rig(16)
  solid = KnownSolid("cone", 2.0, np.tile([1.0, 0, 0, 0], (4, 1)))
  found = trajectories.estimate(
    np.zeros((3, 4, 16, 16, 3), np.uint8),
    np.zeros((3, 1, 1, 3), np.float32),
    rig.intrinsics,
    rig.camera_from_world,
    solid,
  )
  assert not found.is_found.any()


def test_object_that_is_lost_stands_where_it_was_last():
  nan = [np.nan] * 3
  points = _points([nan, [1, 2, 3], nan, nan, [4, 5, 6], nan])
  held = trajectories.hold(points, np.array([9.0, 9, 9]))
  np.testing.assert_array_equal(
    held,
    [[9, 9, 9], [1, 2, 3], [1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]],
  )


def test_centre_of_view_is_where_the_cameras_look():
  target = np.array([0.2, -0.1, 0.3])
  places = np.array([[2.0, 0, 1], [0, 2, 1], [-2, 0, 1]])
  poses = np.stack([cameras.look_at(place, target) for place in places])
  np.testing.assert_allclose(
    trajectories.centre_of_view(poses), target, atol=1e-12
  )


def test_centre_of_view_of_parallel_cameras_is_between_them():
  pose = cameras.look_at(np.array([2.0, 0, 0]), np.zeros(3))
  other = cameras.look_at(np.array([2.0, 1, 0]), np.array([0.0, 1, 0]))
  np.testing.assert_allclose(
    trajectories.centre_of_view(np.stack([pose, other])), [2, 0.5, 0], atol=1e-9
  )


def test_displacement_errors_are_distances():
  moved = _PATH + np.array([[0.3, 0.4, 0], [0, 0, 0], [0, 0, 1], [0, 2, 0]])
  average = trajectories.average_displacement_error
  assert average(moved, _PATH) == pytest.approx((0.5 + 0 + 1 + 2) / 4)
  is_counted = np.array([True, True, False, False])
  assert average(moved, _PATH, is_counted) == pytest.approx(0.25)
  assert np.isnan(average(moved, _PATH, np.zeros(4, bool)))
  assert trajectories.final_displacement_error(moved, _PATH) == pytest.approx(2)


def test_constant_velocity_is_exact_on_linear_motion():
  line = np.array([0.1, 0.2, -0.1]) + np.arange(16)[:, None] * np.array(
    [0.05, -0.03, 0.01]
  )
  for given in (2, 8, 15):
    path = trajectories.constant_velocity(line, given)
    np.testing.assert_allclose(path, line, atol=1e-15 * 16)


def test_constant_velocity_takes_the_last_given_step():
  path = trajectories.constant_velocity(_PATH, 3)
  np.testing.assert_array_equal(path[:3], _PATH[:3])
  np.testing.assert_allclose(path[3], [0.3, 0.2, 0])
  still = trajectories.constant_velocity(_PATH, 1)
  np.testing.assert_array_equal(still, np.tile(_PATH[0], (4, 1)))
  whole = trajectories.constant_velocity(_PATH, 4)
  np.testing.assert_array_equal(whole, _PATH)


@pytest.mark.parametrize("given", [0, 5, -1])
def test_constant_velocity_needs_a_past(given):
  with pytest.raises(ValueError, match=rf"given_frames={given} of a path of 4"):
    trajectories.constant_velocity(_PATH, given)
