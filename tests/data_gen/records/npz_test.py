"""NumPy archives hold the scenes that were drawn."""

import json
import zipfile

import numpy as np
import pytest
from small_data_sets import hash_files, make_options

from data_gen.errors import DataError
from data_gen.generate import generate
from data_gen.records import npz
from data_gen.records.scene_source import SceneSource
from data_gen.scenes import scenes
from data_gen.scenes.moving_cameras import MovingCameraOptions
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.violations import ViolationOptions


@pytest.fixture(scope="module")
def options(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  options = make_options(folder, num_train=8, file_format="npz", preview=0)
  generate(options, log=lambda line: None)
  return options


def _load(options, split):
  """Returns the arrays of all shards, one after the other."""
  loaded = []
  for shard in range(options.num_shards(split)):
    path = f"{options.output_dir}/{options.shard_name(split, shard)}"
    with np.load(path) as archive:
      loaded.append(dict(archive))
  return {key: np.concatenate([a[key] for a in loaded]) for key in loaded[0]}


def test_arrays_are_the_scenes_drawn(options):
  found = _load(options, "train")
  shapes = {key: (str(a.dtype), a.shape) for key, a in found.items()}
  assert shapes == {
    "trajectories_3d": ("float32", (8, 5, 3)),
    "multi_view_videos": ("uint8", (8, 3, 5, 32, 32, 3)),
    "labels": ("int64", (8,)),
    "motions": ("int64", (8,)),
    "classes": ("int64", (8,)),
    "intrinsics": ("float32", (8, 3, 3, 3)),
    "camera_from_world": ("float32", (8, 3, 3, 4)),
    "masks": ("uint8", (8, 3, 5, 32, 32)),
  }
  keys = {
    "trajectories_3d": "trajectory",
    "multi_view_videos": "frames",
    "labels": "shape",
    "motions": "motion",
    "classes": "class",
    "intrinsics": "intrinsics",
    "camera_from_world": "camera_from_world",
    "masks": "masks",
  }
  for index in range(8):
    drawn = scenes.make_scene(options, "train", index)
    for key, source in keys.items():
      expected = np.asarray(drawn[source]).astype(found[key].dtype)
      np.testing.assert_array_equal(found[key][index], expected)


def test_manifest_describes_the_arrays(options):
  path = f"{options.output_dir}/manifest.json"
  with open(path) as file:
    described = json.load(file)["features"]
  for key, array in _load(options, "validation").items():
    content = described.pop(key)
    assert content["dtype"] == array.dtype
    assert tuple(content["shape"]) == array.shape[1:]
  assert not described


def test_bytes_are_the_same_every_time(options, tmp_path):
  again = make_options(tmp_path, num_train=8, file_format="npz", preview=0)
  generate(again, log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(options.output_dir)
  path = tmp_path / options.shard_name("train", 0)
  with zipfile.ZipFile(path) as archive:
    for member in archive.infolist():
      assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_magvit3d_refuses_to_read_them(options):
  with pytest.raises(DataError, match=r"'npz'.*--file_format=tfrecord"):
    SceneSource(options.output_dir, "train")


def test_damage_is_found_in_its_array(options, tmp_path):
  name = options.shard_name("train", 0)
  with open(f"{options.output_dir}/{name}", "rb") as file:
    data = bytearray(file.read())
  path = tmp_path / name
  path.write_bytes(data)
  assert npz.find_damage(path) is None
  with zipfile.ZipFile(path) as archive:
    start = archive.getinfo("masks.npy").header_offset
  data[start + 200] ^= 1
  path.write_bytes(data)
  assert f"masks, which starts at byte {start}" in npz.find_damage(path)
  path.write_bytes(data[:-100])
  assert "list of its arrays" in npz.find_damage(path)


@pytest.mark.parametrize(
  ("kind", "changes", "flag"),
  [
    (DatasetOptions, {"depths": True}, "--depths"),
    (DatasetOptions, {"flows": True}, "--flows"),
    (ViolationOptions, {}, "--violations"),
    (MovingCameraOptions, {}, "--moving_cameras"),
  ],
)
def test_what_has_no_array_is_not_asked_for(kind, changes, flag):
  with pytest.raises(
    ValueError, match=f"npz has no arrays for what {flag} adds"
  ):
    kind(output_dir="unused", file_format="npz", **changes)
