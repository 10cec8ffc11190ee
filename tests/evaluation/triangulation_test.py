"""Points that cameras see are where they were, within what noise allows."""

import numpy as np
import pytest

from data_gen.rendering import cameras
from data_gen.scenes import rigs
from data_gen.scenes.options import DatasetOptions
from magvit3d.evaluation.metres.triangulation import triangulate


def _rig(text):
  options = DatasetOptions(
    output_dir="unused", camera_rig=text, num_train=1, num_test=0
  )
  rng = np.random.default_rng(3)
  rig = rigs.make_rig(options, "train", rng)
  return rig.intrinsics, rig.camera_from_world


def _points(count, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform([-0.7, -0.7, -0.4], [0.7, 0.7, 0.4], (count, 3))


def _see(points, rig):
  """Where the cameras see points, by the renderer's own projection."""
  return np.stack(
    [cameras.project(points, *pair) for pair in zip(*rig, strict=True)]
  )


def _all_seen(pixels):
  return np.ones(pixels.shape[:2], bool)


@pytest.mark.parametrize(
  "text", ["default", "2,0,1; 0,2,1", "random:4", "ring:7"]
)
def test_exact_projections_give_back_the_points(text):
  rig, points = _rig(text), _points(20)
  pixels = _see(points, rig)
  found = triangulate(pixels, _all_seen(pixels), *rig)
  assert found.is_found.all() and found.is_used.all()
  np.testing.assert_allclose(found.positions, points, atol=1e-9)
  np.testing.assert_allclose(found.residual_px, 0, atol=1e-7)


@pytest.mark.parametrize("text", ["default", "2,0,1; 0,2,1", "ring:6"])
def test_noise_gives_errors_of_the_derived_size(text):
  """Least squares: covariance s^2 (J^T J)^-1, and 2v - 3 degrees of freedom."""
  sigma_px, count = 0.5, 4000
  rig, point = _rig(text), np.array([0.2, -0.3, 0.1])
  step = 1e-6
  moved = point + step * np.concatenate([np.eye(3), -np.eye(3)])
  seen = _see(moved, rig)
  jacobian = (seen[:, :3] - seen[:, 3:]) / (2 * step)  # (v, 3, 2)
  jacobian = jacobian.transpose(0, 2, 1).reshape(-1, 3)
  expected = sigma_px**2 * np.linalg.inv(jacobian.T @ jacobian)
  rng = np.random.default_rng(0)
  pixels = np.repeat(_see(point[None], rig), count, axis=1)
  pixels = pixels + rng.normal(0, sigma_px, pixels.shape)
  found = triangulate(pixels, _all_seen(pixels), *rig)
  errors = found.positions - point
  # Relative error of a variance from n samples: sqrt(2 / n) = 2%; times 4.
  np.testing.assert_allclose(
    np.trace(errors.T @ errors / count), np.trace(expected), rtol=0.09
  )
  v = len(pixels)
  np.testing.assert_allclose(
    np.mean(found.residual_px**2), sigma_px**2 * (2 * v - 3) / v, rtol=0.09
  )


def test_refinement_is_nearer_to_the_least_reprojection_error():
  """Against SciPy's least squares, from cameras at very different distances."""
  from scipy import optimize

  rig = _rig("2,0,1; 0,0.9,0.6; -4,0,1; 0.5,-3,2")
  points = _points(10)
  rng = np.random.default_rng(0)
  pixels = _see(points, rig) + rng.normal(0, 0.8, (4, 10, 2))
  found = triangulate(pixels, _all_seen(pixels), *rig)
  for time in range(10):

    def errors(point, time=time):
      return (_see(point[None], rig)[:, 0] - pixels[:, time]).ravel()

    best = optimize.least_squares(errors, points[time])
    # The step from the linear solution is millimetres, and what is left of it
    # after one Gauss-Newton step is of second order.
    np.testing.assert_allclose(found.positions[time], best.x, atol=3e-4)


def test_view_that_contradicts_the_others_is_left_out():
  for text, outliers in (("default", [1]), ("ring:6", [0]), ("ring:6", [2, 5])):
    rig, points = _rig(text), _points(8)
    rng = np.random.default_rng(0)
    exact = _see(points, rig)
    pixels = exact.copy()
    pixels[outliers, ::2] += rng.uniform(15, 30, (len(outliers), 4, 2))
    found = triangulate(pixels, _all_seen(pixels), *rig)
    expected = _all_seen(pixels)
    expected[outliers, ::2] = False
    np.testing.assert_array_equal(found.is_used, expected)
    np.testing.assert_allclose(found.positions, points, atol=1e-9)


def test_two_views_are_both_kept_and_the_residual_tells():
  rig, points = _rig("2,0,1; 0,2,1"), _points(3)
  pixels = _see(points, rig)
  pixels[1, :, 1] += 20
  found = triangulate(pixels, _all_seen(pixels), *rig)
  assert found.is_used.all()
  assert (found.residual_px > 3).all()


def test_point_that_fewer_than_two_views_see_is_not_found():
  rig, points = _rig("default"), _points(4)
  pixels = _see(points, rig)
  is_seen = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
  pixels[~is_seen] = np.nan
  found = triangulate(pixels, is_seen, *rig)
  np.testing.assert_array_equal(found.is_found, [True, True, False, False])
  np.testing.assert_array_equal(found.is_used[:, :2], is_seen[:, :2])
  assert not found.is_used[:, 2:].any()
  np.testing.assert_allclose(found.positions[:2], points[:2], atol=1e-9)
  assert np.isnan(found.positions[2:]).all()
  assert np.isnan(found.residual_px[2:]).all()


def test_point_behind_a_camera_is_not_found():
  rig = _rig("2,0,1; 0,2,1")
  behind = np.array([[4.0, 4.0, 3.0]])
  pixels = _see(behind, rig)
  assert not triangulate(pixels, _all_seen(pixels), *rig).is_found.any()


def test_parallel_lines_of_sight_give_no_point_and_no_warning():
  intrinsics, poses = _rig("2,0,1; 0,2,1")
  pose = poses[:1]
  pixels = np.full((2, 1, 2), 60.0)
  rig = np.repeat(intrinsics[:1], 2, 0), np.repeat(pose, 2, 0)
  found = triangulate(pixels, _all_seen(pixels), *rig)
  assert np.isnan(found.positions).all() == (not found.is_found.any())
