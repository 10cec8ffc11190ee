"""Tests of the 3D view, in Python and in the script of the page."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from preview_data import SIZE, make_footage, make_plain

from data_gen import schema
from data_gen.previews import view3d
from data_gen.previews.data_set import DataSet
from data_gen.rendering import cameras

_ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  return make_plain(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def footage(plain, tmp_path_factory):
  return make_footage(plain, tmp_path_factory.mktemp("footage"))


def test_corners_of_a_frustum_are_those_of_the_image():
  rig = cameras.make_rig(
    np.array([[2.0, 0.3, 1.0]]), np.array([[0.1, 0, 0]]), np.array([0.7]), 48
  )
  matrix = rig.camera_from_world[0]
  found = view3d.frustum(rig.intrinsics[0], matrix, 48, 0.4)
  np.testing.assert_allclose(found[0], rig.positions[0], atol=1e-6)
  corners = cameras.project(found[1:], rig.intrinsics[0], matrix)
  wanted = [[-0.5, -0.5], [47.5, -0.5], [47.5, 47.5], [-0.5, 47.5]]
  np.testing.assert_allclose(corners, wanted, atol=1e-4)
  np.testing.assert_allclose(found[1:] @ matrix[2, :3] + matrix[2, 3], 0.4)


def test_the_eye_turns_about_its_target_and_sees_all(plain):
  data = DataSet(pathlib.Path(plain.output_dir), "train")
  world = view3d.make_world(data, data.scene(1))
  eye = view3d.make_eye(
    world.azimuth, world.elevation, world.distance, world.target, 100
  )
  np.testing.assert_allclose(eye.project(world.target), [49.5, 49.5])
  points = np.concatenate([world.frusta.reshape(-1, 3), world.bounds[:, 0]])
  seen = eye.project(points)
  assert seen.min() > 0 and seen.max() < 99
  # No nearer than needed: something comes close to the margin.
  assert np.abs(seen - 49.5).max() > 40


def test_cameras_without_bounds_face_what_they_see(footage):
  """Where neither a path nor bounds are known."""
  data = DataSet(footage, "train")
  world = view3d.make_world(data, data.scene(0))
  assert not len(world.bounds)
  centres = world.frusta[:, 0]
  # The default cameras all look at the origin.
  np.testing.assert_allclose(
    view3d._seen_point(
      data.scene(0)[schema.CAMERA_FROM_WORLD].astype(float), centres
    ),
    [[0, 0, 0]],
    atol=2e-3,
  )


@pytest.mark.skipif(not shutil.which("node"), reason="Node is missing.")
def test_the_script_projects_as_python_does():
  rng = np.random.default_rng(0)
  points, target = rng.uniform(-1, 1, (20, 3)), rng.uniform(-0.2, 0.2, 3)
  eye = view3d.make_eye(0.7, -0.4, 5.0, target, 240)
  rig = cameras.make_default_rig(SIZE)
  ids = np.zeros((8, 8), int)
  ids[2:5, 3:8] = 1
  ids[4:7, 1:4] = 2
  given = {
    "points": points.tolist(),
    "target": target.tolist(),
    "fieldOfView": float(view3d.FIELD_OF_VIEW),
    "matrix": rig.camera_from_world[0].tolist(),
    "intrinsics": rig.intrinsics[0].tolist(),
    "ids": ids.ravel().tolist(),
  }
  geometry = _ROOT / "data_gen" / "previews" / "geometry.js"
  program = f"""{geometry.read_text()}
  const given = {json.dumps(given)};
  const eye = makeEye(0.7, -0.4, 5, given.target, given.fieldOfView, 240);
  const large = enlarge(given, {SIZE}, {3 * SIZE});
  const see = (camera) => given.points.map(
    (point) => toPixel(camera, inCamera(camera, point)));
  const behind = [9, 0, 4];
  console.log(JSON.stringify({{
    eye: see(eye),
    large: see(large),
    lines: given.points.map((p) => projectLine(given, p, behind, 0.001)),
    turned: given.points.map((p) => projectLine(given, behind, p, 0.001)),
    hidden: projectLine(given, behind, behind, 0.001),
    edges: outlineEdges(given.ids, 8),
  }}));"""
  found = json.loads(
    subprocess.run(
      ["node", "-e", program], capture_output=True, text=True, check=True
    ).stdout
  )
  np.testing.assert_allclose(found["eye"], eye.project(points), atol=1e-9)
  pixels = cameras.project(points, rig.intrinsics[0], rig.camera_from_world[0])
  np.testing.assert_allclose(found["large"], 3 * pixels + 1, atol=1e-9)
  lines = np.array(found["lines"])
  np.testing.assert_allclose(lines[:, 0], pixels, atol=1e-9)
  assert np.isfinite(lines).all() and found["hidden"] is None
  np.testing.assert_allclose(np.array(found["turned"])[:, ::-1], lines)
  padded = np.pad(ids, 1)
  wanted = sum((np.diff(padded, axis=axis) != 0).sum() for axis in (0, 1))
  assert len(found["edges"]) == wanted
  assert all(edge[4] in (1, 2) for edge in found["edges"])
