"""Calibrations that are hardly meant are noted, with cause and remedy."""

import dataclasses

import numpy as np
import pytest

from data_gen.footage import calibration_checks, conversions
from data_gen.footage.calibration_checks import View
from data_gen.rendering import cameras

_SIZE = (1920, 1080)
_K = np.array([[1400.0, 0, 959.5], [0, 1400, 539.5], [0, 0, 1]])
_NO_TRACK = np.full((5, 3), np.nan)


_PLACES = ((2, 0, 1.5), (0.3, 2.5, 1), (-1, -2, 0.4))
_POSES = tuple(
  cameras.look_at(np.array(place), np.array([0, 0, 0.1])) for place in _PLACES
)


def _views(poses=_POSES, intrinsics=_K):
  return [
    View(f"recordings[3].cameras[{i}]", intrinsics, pose, *_SIZE)
    for i, pose in enumerate(poses)
  ]


@pytest.fixture
def track():
  t = np.linspace(0, 1, 30)[:, None]
  points = np.concatenate([0.3 * np.cos(t), 0.3 * t, 0.1 + 0 * t], axis=1)
  points[4] = np.nan
  return points


def _notes(views, track=_NO_TRACK):
  return list(calibration_checks.notes(views, track))


def test_right_calibrations_have_no_notes(track):
  assert _notes(_views()) == _notes(_views(), track) == []
  assert _notes(_views()[:1]) == _notes(_views()[:1], track) == []


@pytest.mark.parametrize("rig", ["default", "ring:1", "ring:7"])
def test_rigs_of_rendered_scenes_have_no_notes(rig):
  places = cameras.parse_rig(rig)
  found = cameras.make_rig(
    places, 0 * places, np.full(len(places), cameras.VERTICAL_FIELD_OF_VIEW), 64
  )
  views = [
    View(f"recordings[0].cameras[{i}]", k, pose, 64, 64)
    for i, (k, pose) in enumerate(
      zip(found.intrinsics, found.camera_from_world, strict=True)
    )
  ]
  assert _notes(views) == []


@pytest.mark.parametrize(
  ("focal", "cause"),
  [
    (35.0, "intrinsics_of_millimetres"),
    (0.73, "intrinsics_of_parts"),
    (90_000.0, "Is it of a larger image"),
  ],
)
def test_odd_fields_of_view_are_noted(focal, cause):
  intrinsics = _K.copy()
  intrinsics[[0, 1], [0, 1]] = focal
  (note,) = _notes(_views(_POSES[:1], intrinsics))
  degrees = np.degrees(2 * np.arctan(960 / focal))
  assert f"fx = {focal:g} pixels" in note and f"{degrees:.3g} degrees" in note
  assert note.startswith("Note: recordings[3].cameras[0].intrinsics")
  assert cause in note


def test_intrinsics_of_half_the_size_are_noted():
  half = conversions.intrinsics_of_size(_K, _SIZE, (960, 540))
  (note,) = _notes(_views(_POSES[:1], half))
  assert "(479.5, 269.5), far from the middle of 1920 x 1080" in note
  assert "intrinsics_of_size" in note


_READINGS = {
  "pose_of_opengl": lambda pose: cameras.to_opengl(pose)[:3],
  "conversions.inverse": conversions.inverse,
  "pose_of_blender": lambda pose: conversions.inverse(
    cameras.to_opengl(pose)[:3]
  ),
}


@pytest.mark.parametrize("converter", _READINGS)
def test_other_poses_are_told_by_the_track(track, converter):
  found = _notes(_views(map(_READINGS[converter], _POSES)), track)
  assert len(found) == 3
  for note in found:
    assert "of its recording's track. It would see 100% if" in note
    assert f"{converter} makes it ours" in note


@pytest.mark.parametrize(
  ("converter", "count"),
  [("pose_of_opengl", 1), ("pose_of_opengl", 3), ("pose_of_blender", 3)],
)
def test_other_axes_are_told_without_a_track(converter, count):
  poses = [_READINGS[converter](pose) for pose in _POSES[:count]]
  (note,) = _notes(_views(poses))
  assert "the cameras of recordings[3] " in note
  assert converter in note


def test_millimetres_are_told(track):
  poses = [pose * [1, 1, 1, 1000] for pose in _POSES]
  for known in (_NO_TRACK, track, 1000 * track):
    (note,) = _notes(_views(poses), known)
    assert "recordings[3] has its cameras spread over" in note
    assert "pose_of_millimetres" in note
  (note,) = _notes(_views(), 1000 * track)
  assert "has its track spread over" in note
  (note,) = _notes(_views(poses[:1]), track)
  assert "has its cameras and track spread over" in note
  (note,) = _notes(_views(poses[:1]))
  assert "has its camera and the world's origin spread over" in note


def test_a_track_of_another_place_gets_a_general_note(track):
  found = _notes(_views(), track + np.array([0, 20, 0]))
  assert found and all("in the same frame and in metres" in n for n in found)


@pytest.mark.parametrize("converter", _READINGS)
def test_conversions_make_our_poses(converter):
  undo = {
    "pose_of_opengl": conversions.pose_of_opengl,
    "conversions.inverse": conversions.inverse,
    "pose_of_blender": conversions.pose_of_blender,
  }[converter]
  for pose in _POSES:
    np.testing.assert_allclose(
      undo(_READINGS[converter](pose)), pose, atol=1e-12
    )
    whole = np.vstack([_READINGS[converter](pose), [0, 0, 0, 1]])
    np.testing.assert_allclose(undo(whole), pose, atol=1e-12)
    millimetres = pose * [1, 1, 1, 1000]
    np.testing.assert_allclose(
      conversions.pose_of_millimetres(millimetres), pose, atol=1e-12
    )


def test_conversions_make_our_intrinsics():
  """Edges of the image are at the same angles, whatever its size."""
  found = conversions.intrinsics_of_size(_K, _SIZE, (480, 270))
  for edge, other in ((-0.5, -0.5), (1919.5, 479.5)):
    wanted = (edge - _K[0, 2]) / _K[0, 0]
    assert (other - found[0, 2]) / found[0, 0] == pytest.approx(wanted)
  parts = conversions.intrinsics_of_parts(
    (1400 / 1920, 1400 / 1080), (0.5, 0.5), _SIZE
  )
  np.testing.assert_allclose(parts, _K)
  millimetres = conversions.intrinsics_of_millimetres(
    36 * 1400 / 1920, 36, _SIZE
  )
  np.testing.assert_allclose(millimetres, _K)


def test_a_view_sees_its_image_and_no_more():
  view = dataclasses.replace(_views()[0], camera_from_world=np.eye(4)[:3])
  corners = [(-0.49, -0.49), (1919.4, 1079.4), (-0.6, 5), (5, 1079.6)]
  rays = np.linalg.inv(_K) @ np.array([(x, y, 1) for x, y in corners]).T
  assert view.sees(2 * rays.T).tolist() == [True, True, False, False]
  assert not view.sees(-2 * rays.T).any()
