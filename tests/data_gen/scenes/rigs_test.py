"""Cameras of scenes: as asked for, different, and looking the right way."""

import itertools

import numpy as np
import pytest

from data_gen.rendering import cameras
from data_gen.scenes import rigs
from data_gen.scenes.options import DatasetOptions


def _rig(split="train", seed=0, **changes):
  options = DatasetOptions(**changes)
  rig = rigs.make_rig(options, split, np.random.default_rng(seed))
  assert len(rig.intrinsics) == options.num_views
  return rig


def _aims(rig):
  """Pixels of the origin in each camera, (V, 2)."""
  return np.stack(
    [
      cameras.project(np.zeros(3), *pair)
      for pair in zip(rig.intrinsics, rig.camera_from_world, strict=True)
    ]
  )


def _check_upright(rig):
  for rotation in rig.rotations:
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert abs(rotation[0, 2]) < 1e-6  # Right is level,
    assert rotation[1, 2] < 0  # and down is down.


def test_given_positions_are_taken():
  rig = _rig(camera_rig="1,-2,0.5; -1.5,0,1;0,3,-0.2")
  expected = [[1, -2, 0.5], [-1.5, 0, 1], [0, 3, -0.2]]
  np.testing.assert_allclose(rig.positions, expected, atol=1e-6)
  np.testing.assert_allclose(_aims(rig), 63.5, atol=1e-4)
  _check_upright(rig)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_ring_is_evenly_spaced(count):
  rig = _rig(camera_rig=f"ring:{count}")
  angles = np.unwrap(np.arctan2(rig.positions[:, 1], rig.positions[:, 0]))
  np.testing.assert_allclose(np.diff(angles), 2 * np.pi / count, atol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(rig.positions[:, :2], axis=1), 2)
  np.testing.assert_allclose(_aims(rig), 63.5, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 8, 32])
def test_random_cameras_differ_pairwise_and_from_scene_to_scene(count):
  seen = []
  for seed in range(20):
    rig = _rig(camera_rig=f"random:{count}", seed=seed)
    _check_upright(rig)
    distance = np.linalg.norm(rig.positions, axis=-1)
    assert (distance >= 1.9 - 1e-6).all() and (distance <= 2.8 + 1e-6).all()
    height = np.degrees(np.arcsin(rig.positions[:, 2] / distance))
    assert (height >= 10 - 1e-4).all() and (height <= 50 + 1e-4).all()
    directions = rig.positions / distance[:, None]
    for a, b in itertools.combinations(directions, 2):
      assert np.degrees(np.arccos(a @ b)) >= 40 / np.sqrt(count) - 1e-4
    seen.append(rig.positions)
  assert len(np.unique(np.stack(seen)[:, 0], axis=0)) == 20


def test_jitter_moves_position_target_and_focal_length_within_limits():
  still = _rig()
  moved, aims, focals = [], [], []
  for seed in range(60):
    rig = _rig(
      camera_jitter=0.1, target_jitter=0.05, focal_jitter=0.2, seed=seed
    )
    moved.append(rig.positions - still.positions)
    aims.append(_aims(rig))
    focals.append(rig.intrinsics[:, 0, 0] / still.intrinsics[:, 0, 0])
  moved, focals = np.stack(moved), np.stack(focals)
  assert np.abs(moved).max() <= 0.1 + 1e-6
  assert moved.min((0, 1)).max() < -0.08 and moved.max((0, 1)).min() > 0.08
  assert 0.8 - 1e-6 <= focals.min() < 0.83 and 1.17 < focals.max() <= 1.2 + 1e-6
  # The targets are up to 0.05 m aside, at 2 m: some pixels off the centre.
  assert 3 < np.abs(np.stack(aims) - 63.5).max() < 10


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"camera_rig": "ring:4"},
    {"camera_rig": "random:3"},
    {"camera_jitter": 0.1},
  ],
)
def test_unseen_cameras_are_far_from_those_of_training(changes):
  def directions(split):
    return np.concatenate(
      [
        p / np.linalg.norm(p, axis=-1, keepdims=True)
        for p in (_rig(split, s, **changes).positions for s in range(20))
      ]
    )

  cosines = directions("ood_camera") @ directions("train").T
  if changes.get("camera_rig") == "random:3":  # Higher up than any of them.
    heights = [directions(s)[:, 2] for s in ("train", "ood_camera")]
    assert heights[1].min() > heights[0].max() + 0.05
  else:
    assert np.degrees(np.arccos(cosines.max())) > 20
  np.testing.assert_array_equal(directions("train"), directions("test"))
  if changes.get("camera_rig") == "ring:4":
    rig = _rig("ood_camera", **changes)
    np.testing.assert_allclose(rig.positions[:, 2], 1.5, atol=1e-6)


def test_flat_rig_maps_hundredths_of_a_metre_to_pixels():
  rig = _rig(preset="traj2d")
  points = np.array([[0.0, 0, 0], [0.1, -0.2, 0]])
  pixels = cameras.project(points, rig.intrinsics[0], rig.camera_from_world[0])
  np.testing.assert_allclose(pixels, [[63.5, 63.5], [73.5, 43.5]], atol=1e-5)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"camera_rig": "ring:0"},
      "number of cameras from 1 to 64, such as ring:4",
    ),
    ({"camera_rig": "circle:3"}, "--camera_rig=circle:3 is not known"),
    ({"camera_rig": "ring:²"}, "--camera_rig=ring:²: give a number of cameras"),
    ({"camera_rig": "1,2"}, "--camera_rig=1,2 is not known"),
    ({"camera_rig": "1,2,3;nan,1,1"}, "is not known"),
    ({"camera_rig": "0,0,2"}, "straight above or below"),
    ({"camera_rig": "1,2,3;1,2,3"}, "two cameras are in one place"),
    ({"field_of_view": 179.0}, "--field_of_view=179.0"),
    ({"depths": True, "camera_rig": "8,0,4"}, "--depths stores up to 6.55 m"),
    (
      {
        "depths": True,
        "camera_rig": "random:3",
        "camera_jitter": 1.0,
        "size_max": 8.0,
      },
      "--camera_rig=random:3 an object may be 6.99 m away",
    ),
    ({"camera_jitter": -1.0}, "--camera_jitter=-1.0"),
    (
      {"preset": "traj2d", "camera_rig": "ring:3"},
      "--camera_rig=ring:3 has no",
    ),
    ({"preset": "traj2d", "ground_plane": True}, "--ground_plane=True has no"),
  ],
)
def test_bad_cameras_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    DatasetOptions(**changes)


def test_opengl_matrices_look_along_minus_z_with_y_up():
  rig = _rig()
  view = cameras.to_opengl(rig.camera_from_world)
  point = np.array([0.3, -0.1, 0.2, 1.0])
  for v in range(3):
    ours = rig.camera_from_world[v] @ point
    theirs = view[v] @ point
    np.testing.assert_allclose(theirs, [ours[0], -ours[1], -ours[2], 1])
    # OpenGL's pose: the camera in the world is the inverse's last column.
    pose = np.linalg.inv(view[v])
    np.testing.assert_allclose(pose[:3, 3], rig.positions[v], atol=1e-6)
    # Its z axis points away from what it sees, and up has a part upwards.
    assert pose[:3, 2] @ rig.positions[v] > 0
    assert pose[2, 1] > 0


def test_unseen_cameras_of_a_ring_are_between_those_of_training():
  angles = [
    np.degrees(np.arctan2(*_rig(split, camera_rig="ring:8").positions.T[1::-1]))
    for split in ("train", "ood_camera")
  ]
  gaps = (angles[1][:, None] - angles[0] + 180) % 360 - 180
  np.testing.assert_allclose(np.abs(gaps).min(1), 22.5, atol=1e-4)
