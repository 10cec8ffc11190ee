"""Data sets: the same bytes whatever happens, and clear refusals."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from small_data_sets import hash_files, make_options, start

from data_gen import generate, manifest, schema, workers
from data_gen.records import shards
from data_gen.records.scene_source import SceneSource
from data_gen.rendering import visibility
from data_gen.scenes import scenes
from data_gen.scenes.options import DatasetOptions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data") / "set"
  generate.generate(make_options(folder), log=lambda line: None)
  return folder


@pytest.mark.parametrize("num_workers", [2, 4])
def test_several_workers_write_the_same_bytes_as_one(
  made, tmp_path, num_workers
):
  options = make_options(tmp_path, num_workers=num_workers)
  generate.generate(options, log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(made)


def test_another_seed_writes_other_bytes(made, tmp_path):
  generate.generate(make_options(tmp_path, seed=1), log=lambda line: None)
  shard = make_options(".").shard_name("train", 0)
  assert hash_files(tmp_path)[shard] != hash_files(made)[shard]


def test_deleted_and_shortened_shards_are_made_again(made, tmp_path):
  shutil.copytree(made, tmp_path, dirs_exist_ok=True)
  (tmp_path / make_options(".").shard_name("train", 1)).unlink()
  with open(tmp_path / make_options(".").shard_name("train", 2), "r+b") as file:
    file.truncate(100)
  lines = []
  generate.generate(make_options(tmp_path), log=lines.append)
  assert "12 scenes in 2 shards" in lines[0]
  assert hash_files(tmp_path) == hash_files(made)


def test_complete_data_set_is_left_alone(made):
  before = {p: p.stat().st_mtime_ns for p in made.iterdir()}
  lines = []
  path = generate.generate(make_options(made), log=lines.append)
  assert path == made / "manifest.json"
  assert lines == [f"The data set is complete already: {path}"]
  assert before == {p: p.stat().st_mtime_ns for p in made.iterdir()}


def test_other_options_are_refused_by_name(made, tmp_path):
  with pytest.raises(ValueError, match="--seed is 7 now, and was 0"):
    generate.generate(make_options(made, seed=7))
  unfinished = manifest.make_header(make_options(tmp_path))
  manifest.write(tmp_path / manifest.PARTIAL_NAME, unfinished)
  with pytest.raises(ValueError, match=r"--size_max is 2\.6 now, and was 3\.0"):
    generate.generate(make_options(tmp_path, size_max=2.6))


def test_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(OSError, match=r"--output_dir=.* cannot be written"):
    generate.generate(make_options(tmp_path / "file" / "folder"))


def test_command_line_errors_have_no_traceback(tmp_path):
  process = start(
    make_options(tmp_path, size_max=8.0, path_scale_min=3.0, path_scale_max=3.0)
  )
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 1
  assert "--size_max=8.0" in errors
  assert "Traceback" not in errors


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_train": -1}, "--num_train=-1"),
    (
      {"num_train": 0, "num_validation": 0, "num_test": 0},
      "--num_train, --num_validation",
    ),
    ({"image_size": 4}, "--image_size=4"),
    ({"num_frames": 2.5}, "--num_frames=2.5"),
    ({"size_min": 4.0}, "--size_min=4.0 and --size_max=3.0"),
    ({"path_scale_min": 0.0}, "--path_scale_min=0.0"),
    ({"position_noise": float("nan")}, "--position_noise=nan"),
    ({"num_colors": 25}, "--num_colors=25"),
    ({"num_colors": 3, "color_by_shape": True}, "--color_by_shape"),
    ({"num_workers": -2}, "--num_workers=-2"),
    ({"output_dir": ""}, "--output_dir"),
  ],
)
def test_bad_options_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    DatasetOptions(**changes)


def test_shard_without_its_index_is_made_again(made, tmp_path):
  shutil.copytree(made, tmp_path, dirs_exist_ok=True)
  shard = tmp_path / make_options(".").shard_name("train", 3)
  shards.index_path(shard).unlink()
  generate.generate(make_options(tmp_path), log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(made)


def test_manifest_counts_the_classes_that_the_records_have(tmp_path):
  options = make_options(
    tmp_path,
    num_ood_pair=4,
    ood_pair="cone_linear",
    num_ood_camera=5,
    num_ood_speed=7,
  )
  generate.generate(options, log=lambda line: None)
  described = json.loads((tmp_path / "manifest.json").read_text())["splits"]
  assert list(described) == [s for s in schema.SPLITS if s in described]
  assert len(described) == 6
  for split, content in described.items():
    source = SceneSource(tmp_path, split)
    found = [source.scene(i, ["class"])["class"] for i in range(len(source))]
    counts = np.bincount(found, minlength=12)
    assert list(content["class_counts"].values()) == counts.tolist()
    assert content["num_scenes"] == options.num_scenes(split) == len(source)


def test_manifest_counts_classes_within_one_and_names_every_shard(made):
  content = json.loads((made / "manifest.json").read_text())
  for split, num_scenes in [("train", 26), ("validation", 5), ("test", 0)]:
    described = content["splits"][split]
    counts = described["class_counts"].values()
    assert sum(counts) == num_scenes
    assert max(counts) - min(counts) <= 1
    for shard in described["shards"]:
      data = (made / shard["name"]).read_bytes()
      assert len(data) == shard["bytes"]
      assert hashlib.sha256(data).hexdigest() == shard["sha256"]
  assert not list(made.glob("*.tmp*"))
  assert (made / "preview.png").stat().st_size > 0


@pytest.mark.parametrize(
  "changes",
  [
    {"image_size": 64},
    {
      "size_min": 3.0,
      "size_max": 5.0,
      "path_scale_min": 0.5,
      "path_scale_max": 0.9,
    },
    {"color_by_shape": True, "position_noise": 0.0, "image_size": 64},
  ],
)
def test_every_frame_shows_enough_of_the_object_within_bounds(changes):
  options = DatasetOptions(
    **({"num_train": 24, "image_size": 32, "num_frames": 8} | changes)
  )
  for index in range(options.num_train):
    scene = scenes.make_scene(options, "train", index)
    assert scene["masks"].sum((2, 3), dtype=int).min() >= visibility.MIN_PIXELS
    assert (np.abs(scene["trajectory"]) <= [1, 1, 0.5]).all()
    assert options.size_min <= scene["size"] <= options.size_max
    lit = scene["frames"].max(-1)[scene["masks"] > 0]
    # Pixels at the edge mix with the background; inner ones must stand out.
    assert np.median(lit) >= 40
    if options.color_by_shape:
      assert scene["color"][scene["shape"]] == 1
      np.testing.assert_array_equal(
        scene["trajectory"], np.float32(scene["trajectory_clean"])
      )


def test_shards_without_a_manifest_are_not_taken_for_ours(made, tmp_path):
  shutil.copytree(made, tmp_path, dirs_exist_ok=True)
  (tmp_path / "manifest.json").unlink()
  before = hash_files(tmp_path)
  with pytest.raises(ValueError, match=r"--output_dir=.* without a manifest"):
    generate.generate(make_options(tmp_path, seed=1), log=lambda line: None)
  assert hash_files(tmp_path) == before


@pytest.mark.parametrize("content", ["{}", "[]", "3", "{"])
def test_damaged_manifests_are_named(made, tmp_path, content):
  shutil.copytree(made, tmp_path, dirs_exist_ok=True)
  (tmp_path / "manifest.json").write_text(content)
  with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
    generate.generate(make_options(tmp_path), log=lambda line: None)


def test_second_writer_is_refused_and_leaves_the_first_alone(made, tmp_path):
  (tmp_path / "set").mkdir()
  options = make_options(tmp_path / "set")

  def write_twice(options, missing, report):
    with pytest.raises(
      BlockingIOError, match=r"Another process .*--output_dir"
    ):
      generate.generate(options, log=lambda line: None)
    workers.write_shards(options, missing, report)

  generate.generate(options, log=lambda line: None, write_shards=write_twice)
  assert hash_files(tmp_path / "set") == hash_files(made)
