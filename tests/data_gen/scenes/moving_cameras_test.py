"""Moving cameras: frames are those of a world at rest, filmed in passing."""

import dataclasses
import sys

import numpy as np
import pytest
from small_data_sets import start

from data_gen import schema
from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource
from data_gen.rendering import renderer
from data_gen.rendering.cameras import Cameras
from data_gen.rendering.rays import Solid
from data_gen.rendering.rotations import matrix_from_quaternion
from data_gen.scene_makers import make_scene
from data_gen.scenes import moving_cameras
from data_gen.scenes.moving_cameras import MovingCameraOptions

_FRAMES = 8
_FIELDS = dict(
  num_train=4,
  num_validation=0,
  num_test=0,
  image_size=48,
  num_frames=_FRAMES,
  size_min=2.5,
  size_max=3.5,
  num_clutter=1,
  num_workers=1,
  preview=0,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  options = MovingCameraOptions(
    output_dir=str(tmp_path_factory.mktemp("moving")), **_FIELDS
  )
  generate(options, log=lambda line: None)
  return SceneSource(options.output_dir, "train")


def _film(scene, cameras_path):
  """Frames of the world, each by cameras that have moved so far then."""
  rotations = scene[schema.CAMERA_FROM_WORLD][:, :, :3]
  translations = scene[schema.CAMERA_FROM_WORLD][:, :, 3]
  world = scene[schema.OBJECTS_TRAJECTORY] + scene[schema.CAMERA_PATH]
  frames = []
  for time in range(_FRAMES):
    moved = translations - np.einsum("vij,j->vi", rotations, cameras_path[time])
    rig = Cameras(
      scene[schema.INTRINSICS],
      np.concatenate([rotations, moved[..., None]], -1),
      _FIELDS["image_size"],
    )
    solids = [
      Solid(
        shape=("cube", "cylinder", "cone")[scene[schema.OBJECTS_SHAPE][i]],
        size=float(scene[schema.OBJECTS_SIZE][i]),
        trajectory=world[i][[time]].astype(float),
        rotations=matrix_from_quaternion(
          scene[schema.OBJECTS_ORIENTATION][i][[time]]
        ),
        color=scene[schema.OBJECTS_COLOR][i],
      )
      for i in range(2)
    ]
    frames.append(renderer.render(solids, rig, np.zeros(3)).frames[:, 0])
  return np.stack(frames, axis=1)


def test_frames_are_those_of_a_world_that_is_filmed_in_passing(source):
  for number in range(len(source)):
    scene = source.scene(number)
    path = scene[schema.CAMERA_PATH].astype(float)
    # Rounding of places to float32 may turn a ray to another face.
    assert (_film(scene, path) != scene[schema.FRAMES]).mean() < 1e-3
    # Cameras that stay where they were see something else.
    assert (_film(scene, 0 * path) != scene[schema.FRAMES]).mean() > 0.01


def test_what_rests_in_the_world_drifts_as_the_cameras_move(source):
  for number in range(len(source)):
    scene = source.scene(number)
    clutter = scene[schema.OBJECTS_TRAJECTORY][1] + scene[schema.CAMERA_PATH]
    np.testing.assert_allclose(
      clutter, clutter[:1].repeat(_FRAMES, 0), atol=1e-6
    )
    assert not scene[schema.CAMERA_PATH][0].any()


def test_paths_keep_their_speed_and_reach():
  rng = np.random.default_rng(0)
  paths = np.stack([moving_cameras.draw_path(rng, 40) for _ in range(200)])
  steps = np.abs(np.diff(paths, axis=1))
  # Rounded to float32.
  assert steps.max() <= moving_cameras.MAX_SPEED_M * (1 + 1e-6)
  assert np.abs(paths).max() <= moving_cameras.MAX_REACH_M * (1 + 1e-6)
  # Uniform: half of the largest speed in the mean; 200 draws and more of three.
  assert steps.mean() == pytest.approx(moving_cameras.MAX_SPEED_M / 2, rel=0.1)


def test_a_path_is_a_scene_s_own_and_told_again_alike():
  options = MovingCameraOptions(output_dir="none", **_FIELDS)
  one, again = (make_scene(options, "train", 1) for _ in range(2))
  other = make_scene(options, "train", 2)
  for key, value in one.items():
    np.testing.assert_array_equal(again[key], value)
  assert (one[schema.CAMERA_PATH] != other[schema.CAMERA_PATH])[1:].all()


@pytest.mark.parametrize(
  ("field", "value", "text"),
  [
    ("preset", "traj2d", "--moving_cameras is for --preset=traj3d"),
    ("ground_plane", True, "drop --ground_plane=True"),
  ],
)
def test_what_cannot_be_filmed_in_passing_is_told(field, value, text):
  fields = _FIELDS | {"num_clutter": 0}
  options = MovingCameraOptions(output_dir="none", **fields)
  with pytest.raises(ValueError, match=text):
    dataclasses.replace(options, **{field: value})


def test_the_flag_makes_them_and_a_set_without_it_is_another(tmp_path):
  options = MovingCameraOptions(output_dir=str(tmp_path), **_FIELDS)
  for extra, status, words in (
    (["--moving_cameras"], 0, b""),
    ([], 1, b"--moving_cameras is None now, and was True"),
    (["--moving_cameras", "--violations"], 1, b"exclude each other"),
  ):
    process = start(options, sys.executable, "-m", "data_gen", *extra)
    _, errors = process.communicate(timeout=60)
    errors = errors.encode() if isinstance(errors, str) else errors
    assert process.returncode == status, errors
    assert words in errors
  scene = SceneSource(tmp_path, "train").scene(0)
  assert scene[schema.CAMERA_PATH].shape == (_FRAMES, 3)
