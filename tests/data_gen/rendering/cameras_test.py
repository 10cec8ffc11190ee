"""Cameras see the world the right way round."""

import numpy as np

from data_gen.rendering import cameras

RIG = cameras.make_default_rig(128)


def _project(point, view):
  return cameras.project(
    np.array(point, float), RIG.intrinsics[view], RIG.camera_from_world[view]
  )


def test_origin_projects_to_the_image_centre():
  for view in range(3):
    np.testing.assert_allclose(_project([0, 0, 0], view), 63.5, atol=1e-4)


def test_up_in_the_world_is_up_in_the_image():
  for view in range(3):
    assert _project([0, 0, 0.1], view)[1] < 63


def test_right_of_the_camera_is_right_in_the_image():
  # From +x looking at the origin, +y is on the right; from -x on the left.
  assert _project([0, 0.1, 0], 0)[0] > 64
  assert _project([0, 0.1, 0], 2)[0] < 63
  # From +y looking at the origin, -x is on the right.
  assert _project([-0.1, 0, 0], 1)[0] > 64


def test_vertical_field_of_view_is_45_degrees():
  position = np.array([2.0, 0, 1])
  forward = -position / np.linalg.norm(position)
  up = np.array([-forward[0] * forward[2], 0, 1 - forward[2] ** 2])
  up /= np.linalg.norm(up)
  edge = position + forward + np.tan(np.radians(22.5)) * up
  np.testing.assert_allclose(_project(edge, 0), [63.5, -0.5], atol=1e-4)


def test_rotations_are_proper_and_positions_as_planned():
  for rotation in RIG.rotations:
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-6)
  np.testing.assert_allclose(
    RIG.positions, cameras.DEFAULT_POSITIONS, atol=1e-6
  )


def test_projected_points_triangulate_back():
  """Linear triangulation (DLT) of exact projections, by another formula."""
  points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
  matrices = RIG.intrinsics @ RIG.camera_from_world
  pixels = np.stack(
    [
      cameras.project(points, *pair)
      for pair in zip(RIG.intrinsics, RIG.camera_from_world, strict=True)
    ]
  )
  for number, point in enumerate(points):
    rows = []
    for matrix, (x, y) in zip(matrices, pixels[:, number], strict=True):
      rows += [x * matrix[2] - matrix[0], y * matrix[2] - matrix[1]]
    solution = np.linalg.svd(np.stack(rows))[2][-1]
    np.testing.assert_allclose(solution[:3] / solution[3], point, atol=1e-6)
