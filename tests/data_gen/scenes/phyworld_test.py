"""PhyWorld's scenes obey its laws, and records hold what is shown."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from small_data_sets import ROOT

from data_gen import schema
from data_gen.generate import generate
from data_gen.records.features import make_features
from data_gen.records.scene_source import SceneSource
from data_gen.rendering import cameras, rays, renderer, soft_figures
from data_gen.scene_makers import class_of_scene, make_scene
from data_gen.scenes import phyworld_laws, rigs
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.phyworld_laws import FRAME_S, MARGIN, OOD_RADII, OOD_SPEEDS
from data_gen.verify import verify

_COUNTS = {
  "num_train": 40,
  "num_ood_size": 20,
  "num_ood_speed": 20,
  "num_ood_size_speed": 20,
}


def _options(law, **changes):
  values = {"num_frames": 32, "image_size": 32} | _COUNTS | changes
  return DatasetOptions(preset=f"phyworld_{law}", **values)


def _scenes(options, split="train", count=20):
  return [make_scene(options, split, index) for index in range(count)]


def _radii(scene):
  sizes = np.atleast_1d(scene.get(schema.OBJECTS_SIZE, scene[schema.SIZE]))
  shape = soft_figures.SHAPES[scene[schema.SHAPE]]
  return soft_figures.radius_of(shape, sizes)


def _is_in(value, intervals):
  # Values are rounded to float32.
  return any(low - 1e-6 <= value <= high + 1e-6 for low, high in intervals)


@pytest.mark.parametrize("law", phyworld_laws.LAWS)
def test_scenes_have_their_features(law):
  options = _options(law)
  features = make_features(options)
  scene = make_scene(options, "train", 0)
  assert scene.keys() == features.keys()
  for key, feature in features.items():
    assert np.shape(scene[key]) == feature.shape, key


@pytest.mark.parametrize("law", phyworld_laws.LAWS)
def test_a_scene_depends_on_seed_split_and_index_alone(law):
  options = _options(law)
  first, again = (make_scene(options, "train", 3) for _ in range(2))
  for key, value in first.items():
    np.testing.assert_array_equal(value, again[key])
  others = (
    make_scene(options, "train", 4),
    make_scene(options, "ood_size", 3),
    make_scene(dataclasses.replace(options, seed=1), "train", 3),
  )
  for other in others:
    assert (other[schema.FRAMES] != first[schema.FRAMES]).any()


def test_a_disc_moves_evenly_and_level():
  for scene in _scenes(_options("uniform")):
    steps = np.diff(scene[schema.TRAJECTORY], axis=0) / FRAME_S
    # Positions of up to 15 units are rounded to float32: 1e-6 each.
    np.testing.assert_allclose(steps, steps[:1].repeat(31, 0), atol=4e-5)
    assert not steps[:, 1:].any()
    assert _is_in(abs(steps[0, 0]) + 4e-5, ((1.0, 4.0 + 1e-4),))
    assert _is_in(_radii(scene)[0], ((0.7, 1.4),))


def test_a_disc_falls():
  for scene in _scenes(_options("parabola")):
    steps = np.diff(scene[schema.TRAJECTORY], axis=0) / FRAME_S
    np.testing.assert_allclose(steps[:, 0], steps[0, 0], atol=4e-5)
    # Downwards in the image, faster each frame, from rest.
    down = phyworld_laws.GRAVITY * FRAME_S * (np.arange(31) + 0.5)
    np.testing.assert_allclose(steps[:, 1], down, atol=4e-5)


def test_collisions_keep_momentum_and_energy():
  for scene in _scenes(_options("collision")):
    paths, radii = scene[schema.OBJECTS_TRAJECTORY], _radii(scene)
    steps = np.diff(paths[..., 0], axis=1) / FRAME_S
    before, after = steps[:, 0], steps[:, -1]
    masses = radii**2
    assert masses @ before == pytest.approx(masses @ after, abs=1e-3)
    assert masses @ before**2 == pytest.approx(masses @ after**2, abs=4e-3)
    assert before[0] > 0 > before[1]
    # They part as fast as they met, and never overlap.
    assert after[1] - after[0] == pytest.approx(before[0] - before[1], abs=1e-3)
    gaps = paths[1, :, 0] - paths[0, :, 0] - radii.sum()
    assert gaps.min() >= -1e-5
    # The three given frames show none of it.
    np.testing.assert_allclose(
      steps[:, :3], before[:, None].repeat(3, 1), atol=1e-4
    )
    assert len(np.unique(paths[..., 1])) == 1


@pytest.mark.parametrize("law", phyworld_laws.LAWS)
@pytest.mark.parametrize(
  ("split", "radii", "speeds"),
  [
    ("ood_size", OOD_RADII, ((1.0, 4.0),)),
    ("ood_speed", ((0.7, 1.4),), OOD_SPEEDS),
    ("ood_size_speed", OOD_RADII, OOD_SPEEDS),
  ],
)
def test_splits_are_out_of_distribution_as_they_say(law, split, radii, speeds):
  sizes = set()
  for scene in _scenes(_options(law), split):
    paths = scene.get(schema.OBJECTS_TRAJECTORY, scene[schema.TRAJECTORY][None])
    for size in _radii(scene):
      assert _is_in(size, radii)
      sizes.add(next(i for i, one in enumerate(radii) if _is_in(size, (one,))))
    found = np.abs(np.diff(paths[:, :2, 0], axis=1)) / FRAME_S
    for speed in found.ravel():
      assert _is_in(speed, [(a - 1e-4, b + 1e-4) for a, b in speeds])
  assert len(sizes) == len(radii)


@pytest.mark.parametrize("law", phyworld_laws.LAWS)
def test_discs_stay_in_the_image_while_they_can(law):
  for split in ("train", "ood_size_speed"):
    for scene in _scenes(_options(law), split):
      paths = scene.get(
        schema.OBJECTS_TRAJECTORY, scene[schema.TRAJECTORY][None]
      )[..., :2]
      radii = _radii(scene)
      room = 5 - MARGIN - radii[:, None, None]
      is_in = (np.abs(paths) <= room + 1e-5).all((0, 2))
      assert is_in[:5].all()
      # It starts up to a unit from the edge of its room.
      length = np.ptp(paths, axis=1) + 1
      if (length <= 2 * room[:, 0]).all() and law != "collision":
        assert is_in.all()


def test_the_world_is_the_image():
  options = _options("uniform")
  scene = make_scene(options, "train", 1)
  corners = np.array([[-5.0, -5.0, 0.0], [5.0, 5.0, 0.0]])
  found = cameras.project(
    corners, scene[schema.INTRINSICS][0], scene[schema.CAMERA_FROM_WORLD][0]
  )
  # Of a focal length of 32 px in float32, and 5 units: 1e-6 of 16 px.
  np.testing.assert_allclose(found, [[-0.5, -0.5], [31.5, 31.5]], atol=1e-4)
  center = cameras.project(
    scene[schema.TRAJECTORY][0],
    scene[schema.INTRINSICS][0],
    scene[schema.CAMERA_FROM_WORLD][0],
  )
  rows, columns = np.nonzero(scene[schema.MASKS][0, 0])
  # The middle of some thirty pixels; each is rounded to half a pixel.
  assert abs(columns.mean() - center[0]) < 0.3
  assert abs(rows.mean() - center[1]) < 0.3
  frame = scene[schema.FRAMES][0, 0]
  np.testing.assert_array_equal(frame[0, 0], 255)
  np.testing.assert_array_equal(
    frame[tuple(np.rint(center[::-1]).astype(int))], [255, 0, 0]
  )


@pytest.mark.parametrize("index", [0, 1])
def test_the_renderer_of_other_scenes_shows_the_same_masks(index):
  """Middles of pixels are in the figure or not, for both; edges are rounded."""
  options = _options(
    "uniform",
    cues="color,shape",
    num_ood_size=0,
    num_ood_speed=0,
    num_ood_size_speed=0,
  )
  scene = make_scene(options, "train", index)
  path = scene[schema.TRAJECTORY]
  solid = rays.Solid(
    options.shapes[scene[schema.SHAPE]],
    scene[schema.SIZE],
    path,
    np.tile(np.eye(3), (len(path), 1, 1)),
    scene[schema.COLOR],
  )
  rig = rigs.make_rig(options, "train", np.random.default_rng(0))
  found = renderer.render([solid], rig, np.ones(3))
  masks = scene[schema.MASKS]
  assert masks.any()
  assert (found.masks != masks).sum() <= 0.01 * masks.sum()


def test_data_sets_are_read_and_verified(tmp_path):
  options = _options(
    "collision",
    output_dir=str(tmp_path / "data"),
    num_train=4,
    num_validation=0,
    num_test=2,
    num_ood_speed=0,
    num_ood_size=2,
    num_ood_size_speed=0,
    preview=1,
    num_workers=1,
  )
  generate(options, log=lambda line: None)
  lines = []
  verify(tmp_path / "data", lines.append)
  assert len(lines) == 4
  found = SceneSource(tmp_path / "data", "ood_size").scene(1)
  for key, value in make_scene(options, "ood_size", 1).items():
    if key != schema.CAPTION:
      np.testing.assert_allclose(found[key], value, rtol=1e-6)


@pytest.mark.parametrize(
  ("text", "first", "second"),
  [
    ("color,shape", schema.COLOR, schema.SHAPE),
    ("velocity,size", schema.TRAJECTORY, schema.SIZE),
  ],
)
def test_cues_are_tied_but_in_their_own_split(text, first, second):
  options = _options(
    "uniform",
    num_ood_size=0,
    num_ood_speed=0,
    num_ood_size_speed=0,
    num_ood_cues=40,
    cues=text,
  )

  def value(scene, key):
    if key == schema.COLOR:
      return scene[key][2] > 0.5
    if key == schema.TRAJECTORY:
      return abs(scene[key][1, 0] - scene[key][0, 0]) / FRAME_S > 2.5
    return scene[key] > 0.5 if key == schema.SHAPE else _radii(scene)[0] > 1.05

  for split, is_tied in (("train", True), ("ood_cues", False)):
    values = set()
    for index, scene in enumerate(_scenes(options, split)):
      assert scene["class"] == class_of_scene(options, split, index)
      one, other = value(scene, first), value(scene, second)
      assert (one == other) == is_tied
      values.add(bool(one))
    assert values == {False, True}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_objects": 2}, "--num_objects=2 has no meaning for --preset=phyw"),
    ({"size_max": 2.0}, "--size_max=2.0 has no meaning"),
    ({"background": "0,0,1"}, "--background=0,0,1 has no meaning"),
    ({"num_ood_camera": 3}, "--num_ood_camera=3 has no meaning"),
    ({"num_ood_cues": 3}, "--num_ood_cues=3 needs --cues"),
    ({"cues": "color"}, "--cues=color are no two cues"),
    ({"cues": "color,mass"}, "--cues=color,mass are no two cues"),
    (
      {"cues": "color,shape", "num_ood_size": 2},
      "--num_ood_size=2 has no meaning with --cues=color,shape",
    ),
    (
      {"preset": "phyworld_collision", "cues": "color,shape"},
      "--cues=color,shape goes with --preset=phyworld_uniform",
    ),
    ({"preset": "traj2d", "cues": "color,shape"}, "--cues=color,shape has no"),
    ({"preset": "traj3d", "num_ood_size": 1}, "--num_ood_size=1 has no"),
  ],
)
def test_flags_that_make_no_sense_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    DatasetOptions(**({"preset": "phyworld_uniform"} | changes))


def test_other_data_sets_are_called_as_before():
  plain, phyworld = DatasetOptions(), DatasetOptions(preset="phyworld_uniform")
  own = {"num_ood_size", "num_ood_size_speed", "num_ood_cues", "cues"}
  assert not own & plain.arguments().keys()
  assert phyworld.arguments().keys() == plain.arguments().keys() | own


@pytest.mark.parametrize(("flags", "num_frames"), [((), 32), (("8",), 8)])
def test_the_command_makes_32_frames_unless_told(tmp_path, flags, num_frames):
  folder = tmp_path / "data"
  subprocess.run(
    [
      sys.executable,
      "-m",
      "data_gen",
      "--preset=phyworld_parabola",
      f"--output_dir={folder}",
      "--num_train=1",
      "--num_validation=0",
      "--num_test=0",
      "--num_workers=1",
      "--image_size=16",
      *(f"--num_frames={flag}" for flag in flags),
    ],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  assert SceneSource(folder, "train").num_frames == num_frames


def test_collisions_are_in_two_thirds_of_a_clip():
  for scene in _scenes(_options("collision", num_frames=10), count=10):
    steps = np.diff(scene[schema.OBJECTS_TRAJECTORY][0, :, 0])
    turn = np.flatnonzero(np.abs(np.diff(steps)) > 1e-3)
    assert 3 <= turn[0] + 1 <= 6
  with pytest.raises(ValueError, match=r"--num_frames=6\. Make clips of 8"):
    make_scene(_options("collision", num_frames=6), "train", 0)
