"""Scenes read back are those that were drawn."""

import dataclasses
import json
import pathlib
import pickle

import numpy as np
import pytest

from data_gen import generate
from data_gen.errors import DataError
from data_gen.records.scene_source import SceneSource
from data_gen.scenes import scenes
from data_gen.scenes.options import DatasetOptions


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def options(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  options = DatasetOptions(
    output_dir=str(folder),
    file_format=request.param,
    num_train=14,
    num_validation=3,
    num_test=0,
    image_size=32,
    num_frames=5,
    size_min=2.5,
    scenes_per_shard=8,
    num_workers=1,
    preview=0,
  )
  generate.generate(options, log=lambda line: None)
  return options


def test_scene_read_is_the_scene_drawn(options):
  source = SceneSource(options.output_dir, "train")
  assert len(source) == 14
  for index in (0, 7, 8, 13):
    drawn = scenes.make_scene(options, "train", index)
    found = source.scene(index)
    for key in ("frames", "masks", "shape", "motion", "scene_id", "caption"):
      np.testing.assert_array_equal(found[key], drawn[key])
    for key in ("trajectory", "trajectory_clean", "orientation", "color"):
      np.testing.assert_array_equal(found[key], np.float32(drawn[key]))
    for key in ("size", "background", "intrinsics", "camera_from_world"):
      np.testing.assert_array_equal(found[key], np.float32(drawn[key]))
    assert found["class"] == drawn["shape"] * 4 + drawn["motion"]


@pytest.mark.parametrize(
  "changes",
  [
    {"depths": True, "flows": True, "num_clutter": 2, "num_transients": 1},
    {"ground_plane": True, "depths": True, "size_max": 2.6},
    {"preset": "traj2d", "flows": True, "num_objects": 2, "size_min": 1.0},
    {"camera_rig": "random:4", "background": "random", "random_motion": True},
  ],
)
def test_every_feature_is_read_as_it_was_drawn(changes, tmp_path):
  values = {
    "num_train": 3,
    "num_validation": 0,
    "num_test": 0,
    "num_ood_speed": 2,
    "image_size": 32,
    "num_frames": 4,
    "size_min": 2.5,
    "num_workers": 1,
    "preview": 0,
  }
  options = DatasetOptions(output_dir=str(tmp_path), **(values | changes))
  generate.generate(options, log=lambda line: None)
  for split, index in [("train", 0), ("train", 2), ("ood_speed", 1)]:
    drawn = scenes.make_scene(options, split, index)
    source = SceneSource(tmp_path, split)
    found = source.scene(index)
    assert set(found) == set(drawn)
    assert set(source.scene(index, ["size", "masks"])) == {"size", "masks"}
    for key, value in drawn.items():
      scale = {"depths": 1e-4, "flows": 1 / 16}.get(key)
      if scale:
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], value * scale, rtol=1e-6)
      elif np.asarray(value).dtype == float:
        np.testing.assert_array_equal(found[key], np.float32(value))
      else:
        np.testing.assert_array_equal(found[key], value)
    clip = source.clip(index, source.num_views - 1)
    np.testing.assert_array_equal(clip["frames"], drawn["frames"][-1])
    if "ground_plane" in changes:
      background = drawn["background_frames"][-1]
      np.testing.assert_array_equal(clip["background_frames"], background)
    else:
      np.testing.assert_array_equal(
        clip["background"], np.float32(drawn["background"])
      )


def test_manifests_of_other_versions_are_refused(options, tmp_path):
  content = {"format_version": 1, "splits": {}}
  (tmp_path / "manifest.json").write_text(json.dumps(content))
  with pytest.raises(DataError, match="is of format version 1"):
    SceneSource(tmp_path, "train")


def test_clip_is_one_view_of_the_scene(options):
  source = SceneSource(options.output_dir, "validation")
  scene = source.scene(2)
  for view in range(source.num_views):
    clip = source.clip(2, view)
    np.testing.assert_array_equal(clip["frames"], scene["frames"][view])
    np.testing.assert_array_equal(clip["masks"], scene["masks"][view])
    np.testing.assert_array_equal(clip["background"], scene["background"])
    assert clip["label"] == scene["class"]
    assert clip["scene_id"] == scene["scene_id"]
    assert clip["view"] == view
  with pytest.raises(IndexError):
    source.clip(2, 3)


def test_views_of_a_scene_differ_pairwise(options):
  source = SceneSource(options.output_dir, "train")
  for index in range(len(source)):
    scene = source.scene(index)
    for a, b in [(0, 1), (0, 2), (1, 2)]:
      for key in ("frames", "masks", "camera_from_world"):
        assert (scene[key][a] != scene[key][b]).any()


def test_stored_cameras_project_the_path_into_the_masks(options):
  """Solids hold their centre at half height, and so does each full mask."""
  source = SceneSource(options.output_dir, "train")
  for index in range(len(source)):
    scene = source.scene(index)
    points = np.column_stack([scene["trajectory"], np.ones(5)])
    for view in range(3):
      matrix = scene["intrinsics"][view] @ scene["camera_from_world"][view]
      homogeneous = points @ matrix.T
      pixels = np.rint(homogeneous[:, :2] / homogeneous[:, 2:]).astype(int)
      for frame, (x, y) in enumerate(pixels):
        if 1 <= x < 31 and 1 <= y < 31:
          near = scene["masks"][view, frame, y - 1 : y + 2, x - 1 : x + 2]
          assert near.any()


def test_names_and_sizes_come_from_the_manifest(options):
  source = pickle.loads(pickle.dumps(SceneSource(options.output_dir, "train")))
  assert (source.num_views, source.num_frames, source.image_size) == (3, 5, 32)
  assert source.class_names == options.class_names
  assert source.shape_names == ("cube", "cylinder", "cone")
  assert source.motion_names[2] == "helical"
  assert len(SceneSource(options.output_dir, "test")) == 0


def test_scene_ids_are_unique_over_splits(options):
  ids = [
    source.scene(i)["scene_id"]
    for source in (
      SceneSource(options.output_dir, split) for split in options.splits
    )
    for i in range(len(source))
  ]
  assert len(set(ids)) == 17


def test_missing_split_manifest_and_shard_are_named(options, tmp_path):
  with pytest.raises(DataError, match=r"no split 'dev'.*'train'"):
    SceneSource(options.output_dir, "dev")
  with pytest.raises(DataError, match=r"manifest\.json cannot be read"):
    SceneSource(tmp_path, "train")
  made = pathlib.Path(options.output_dir, "manifest.json")
  content = json.loads(made.read_text())
  shard = content["splits"]["train"]["shards"][0]
  shard |= {"name": "s", "bytes": 9}
  (tmp_path / "manifest.json").write_text(json.dumps(content))
  with pytest.raises(DataError, match=r"s is missing; .*python -m data_gen"):
    SceneSource(tmp_path, "train")
  (tmp_path / "s").write_text("12")
  with pytest.raises(DataError, match=r"s has 2 bytes; .* 9 bytes"):
    SceneSource(tmp_path, "train")


def test_sources_of_other_data_differ_wherever_they_lie(options, tmp_path):
  def tell(folder, **changes):
    changed = dataclasses.replace(options, output_dir=str(folder), **changes)
    generate.generate(changed, log=lambda line: None)
    return repr(SceneSource(folder, "train"))

  assert tell(tmp_path / "same") == tell(options.output_dir)
  assert tell(tmp_path / "other", seed=1) != tell(options.output_dir)
