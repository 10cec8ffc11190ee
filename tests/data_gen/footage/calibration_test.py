"""The JSON of footage is read, and every mistake in it is named."""

import copy
import json
import pathlib

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.footage.calibration import read_calibration

ROOT = pathlib.Path(__file__).parents[3]
POSE = [[0, -1, 0, 0.5], [0, 0, -1, 1.0], [1, 0, 0, 2.0]]


def _camera(name):
  return {
    "video": f"{name}.mp4",
    "intrinsics": [[200, 0, 79.5], [0, 210, 59.5], [0, 0, 1]],
    "camera_from_world": POSE,
  }


@pytest.fixture
def content(tmp_path):
  names = ["a0", "a1", "b0", "b1"]
  for name in names:
    (tmp_path / f"{name}.mp4").write_bytes(b"")
  cameras = [_camera(name) for name in names]
  return {
    "class_names": ["throw", "roll"],
    "recordings": [
      {
        "name": "a",
        "split": "train",
        "class": "roll",
        "caption": "A ball rolls.",
        "cameras": cameras[:2],
      },
      {"name": "b", "split": "test", "class": "throw", "cameras": cameras[2:]},
    ],
  }


def _read(folder, content):
  (folder / "rig.json").write_text(json.dumps(content))
  return read_calibration(folder / "rig.json")


def test_fields_are_read(tmp_path, content):
  (tmp_path / "masks").mkdir()
  camera = content["recordings"][1]["cameras"][0]
  camera |= {"masks": "masks", "first_frame": 3, "image_size": [160, 120]}
  camera["distortion"] = [0, 0.0, 0, 0, 0]
  found = _read(tmp_path, content)
  assert found.class_names == ("throw", "roll")
  a, b = found.recordings
  assert (a.name, a.split, a.label) == ("a", "train", 1)
  assert (b.name, b.split, b.label) == ("b", "test", 0)
  assert (a.caption, b.caption) == ("A ball rolls.", "b")
  assert b.cameras[0].video == tmp_path / "b0.mp4"
  assert b.cameras[0].masks == tmp_path / "masks"
  assert b.cameras[0].image_size == (160, 120)
  assert [c.first_frame for c in b.cameras] == [3, 0]
  np.testing.assert_array_equal(b.cameras[1].camera_from_world, POSE)
  np.testing.assert_array_equal(
    a.cameras[0].intrinsics, [[200, 0, 79.5], [0, 210, 59.5], [0, 0, 1]]
  )


def test_classes_need_no_list_and_no_names(tmp_path, content):
  del content["class_names"]
  found = _read(tmp_path, content)
  assert found.class_names == ("roll", "throw")
  assert [r.label for r in found.recordings] == [0, 1]
  for recording in content["recordings"]:
    del recording["class"]
  found = _read(tmp_path, content)
  assert found.class_names == ("footage",)
  assert [r.label for r in found.recordings] == [0, 0]


def _mirrored():
  return [POSE[0], POSE[1], [-x for x in POSE[2]]]


ERRORS = [
  # Place of the change, new value (DELETE: none), what the error says.
  (["recordings"], [], r"recordings must be a list with at least one"),
  (["recordings"], {}, r"recordings must be a list"),
  (["recording"], 1, r"unknown field 'recording'. Did you mean 'recordings'"),
  ([0, "camera"], 1, r"recordings\[0\] has the unknown field 'camera'"),
  ([0, "name"], None, r"recordings\[0\]\.name is None"),
  ([0, "name"], "b", r"recordings\[0\] is called 'b', as another"),
  ([0, "name"], "a\ud800", r"recordings\[0\]\.name is .* half of a letter"),
  ([1, "class"], "\udfffb", r"recordings\[1\]\.class is .* half of a letter"),
  ([1, "cameras", 0, "video"], "a\ud800", r"\[0\]\.video .* does not exist"),
  ([1, "cameras", 0, "video"], "a\0", r"\[0\]\.video .* does not exist"),
  ([0, "track"], [[0, 1e39, 0]], r"\[0\]\.track has numbers .* too large"),
  ([0, "split"], "val", r"recordings\[0\]\.split is 'val'; .*validation"),
  ([0, "split"], "tset", r"recordings\[0\]\.split .*Did you mean 'test'"),
  ([1, "class"], "role", r"recordings\[1\]\.class .*Did you mean 'roll'"),
  ([1, "class"], "DELETE", r"recordings\[1\] lacks the field 'class'"),
  (["class_names"], ["roll", "roll"], r"class_names names a class twice"),
  ([0, "cameras"], "DELETE", r"recordings\[0\] lacks the field 'cameras'"),
  ([0, "cameras"], [], r"recordings\[0\]\.cameras must be a list with"),
  ([1, "cameras"], [_camera("b0")], r"recordings\[1\] has 1 cameras, .* 2"),
  ([1, "cameras", 0, "video"], "c.mp4", r"cameras\[0\]\.video .*not exist"),
  ([1, "cameras", 0, "video"], "a0.mp4", r"recordings\[1\]\.cameras\[0\] has "
   r"the video of recordings\[0\]\.cameras\[0\]"),
  ([1, "cameras", 1, "masks"], "m", r"cameras\[1\]\.masks .* not exist"),
  ([1, "cameras", 1, "intrinsic"], 1, r"Did you mean 'intrinsics'"),
  ([1, "cameras", 1, "first_frame"], -1, r"cameras\[1\]\.first_frame is -1"),
  ([1, "cameras", 1, "first_frame"], 1.5, r"first_frame is 1\.5"),
  ([1, "cameras", 1, "distortion"], [0, 0.1], r"distortion is not 0: .*first"),
  ([1, "cameras", 1, "image_size"], [640], r"image_size must be \[width"),
  ([1, "cameras", 1, "intrinsics"], [[1, 2], [3, 4]],
   r"recordings\[1\]\.cameras\[1\]\.intrinsics has 2 x 2 numbers; .* 3 x 3"),
  ([1, "cameras", 1, "intrinsics"], [[1, 2], [3]], r"intrinsics must be 3 x 3"),
  ([1, "cameras", 1, "intrinsics"], [[1, 0, 0], [0, 1, 0], [0, 0, 2]],
   r"intrinsics is no camera matrix"),
  ([1, "cameras", 1, "intrinsics"], [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
   r"intrinsics is no camera matrix"),
  ([1, "cameras", 1, "intrinsics"], [[1, 0, float("nan")], *[[0, 1, 0]] * 2],
   r"intrinsics has numbers that are not finite"),
  ([1, "cameras", 1, "camera_from_world"], np.eye(4).tolist(),
   r"camera_from_world has 4 x 4 numbers; .* 3 x 4"),
  ([1, "cameras", 1, "camera_from_world"], (2 * np.eye(4))[:3].tolist(),
   r"camera_from_world is no pose: .*no rotation"),
  ([1, "cameras", 1, "camera_from_world"], (1.001 * np.eye(4))[:3].tolist(),
   r"camera_from_world is no pose: .*no rotation .*0\.002"),
  ([1, "cameras", 1, "camera_from_world"], _mirrored(), r"mirror space"),
]  # fmt: skip


@pytest.mark.parametrize("place, value, message", ERRORS)
def test_mistakes_are_named(tmp_path, content, place, value, message):
  changed = copy.deepcopy(content)
  node = changed["recordings"] if isinstance(place[0], int) else changed
  for key in place[:-1]:
    node = node[key]
  if value == "DELETE":
    del node[place[-1]]
  else:
    node[place[-1]] = value
  with pytest.raises(DataError, match=rf"rig\.json: .*{message}") as caught:
    _read(tmp_path, changed)
  assert "\n" not in str(caught.value)


def test_example_of_the_documentation_is_read(tmp_path):
  text = (ROOT / "docs" / "footage.md").read_text()
  example = json.loads(text.split("```json")[1].split("```")[0])
  (tmp_path / "roll_01" / "left_masks").mkdir(parents=True)
  for name in ("left.mp4", "right.mp4", "right_masks.mp4"):
    (tmp_path / "roll_01" / name).write_bytes(b"")
  (tmp_path / "roll_01" / "track.csv").write_text("x,y,z\n0,0,0\n")
  found = _read(tmp_path, example)
  positions = [
    -camera.camera_from_world[:, :3].T @ camera.camera_from_world[:, 3]
    for camera in found.recordings[0].cameras
  ]
  np.testing.assert_allclose(positions, [[2, 0, 1], [0, 2, 1]], atol=1e-6)


def test_rotations_may_be_rounded(tmp_path, content):
  camera = content["recordings"][0]["cameras"][0]
  camera["camera_from_world"] = (1.0004 * np.array(POSE)).tolist()
  _read(tmp_path, content)


@pytest.mark.parametrize(
  "data, message",
  [
    (None, "cannot be read"),
    (b"{", "is no JSON"),
    (b"\xff\xfe\x00", "is no JSON"),
    (b"[]", "the file must be an object"),
    (b"{}", "the file lacks the field 'recordings'"),
  ],
)
def test_files_that_are_no_such_json_are_named(tmp_path, data, message):
  path = tmp_path / "rig.json"
  if data is not None:
    path.write_bytes(data)
  with pytest.raises(DataError, match=rf"rig\.json:? {message}"):
    read_calibration(path)
