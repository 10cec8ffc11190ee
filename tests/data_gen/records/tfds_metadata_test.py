"""TensorFlow Datasets reads the shards: with TensorFlow, and without."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from small_data_sets import ROOT, make_options

from data_gen import manifest, schema
from data_gen.generate import generate
from data_gen.records import (
  array_records,
  features,
  records,
  shards,
  tfds_metadata,
)
from data_gen.scenes import scenes

# All that adds features, in two sets: a plain background excludes a ground.
VARIANTS = {
  "plain": {"depths": True},
  "rich": {
    "depths": True,
    "flows": True,
    "ground_plane": True,
    "num_objects": 2,
    "num_clutter": 1,
    "random_motion": True,
    "camera_rig": "ring:2",
  },
}
WRITERS = {
  "tfrecord": shards.write_shard,
  "array_record": array_records.write_shard,
}


def _draw_scene(options, rng):
  """Returns a scene of random values for every feature."""
  scene = {}
  for key, feature in features.make_features(options).items():
    if feature.encoding == "text":
      scene[key] = f"scène {rng.integers(1000)}"
    elif feature.dtype == "float32":
      scene[key] = rng.normal(size=feature.shape).astype(np.float32)
    elif feature.dtype == "int64":
      most = 3 if key in ("shape", "motion", "class") else 10**9
      scene[key] = rng.integers(0, most, feature.shape)
    else:
      limits = np.iinfo(feature.dtype)
      scene[key] = rng.integers(
        limits.min, limits.max, feature.shape, feature.dtype, endpoint=True
      )
  return scene


def _write_set(folder, file_format, variant, **changes):
  """Writes shards of random scenes and what describes them; returns scenes."""
  options = make_options(
    folder,
    num_train=5,
    scenes_per_shard=3,
    image_size=16,
    file_format=file_format,
    num_validation=0,
    num_ood_speed=2,
    **(VARIANTS[variant] | changes),
  )
  rng = np.random.default_rng(0)
  drawn = {}
  for split in options.splits:
    count = options.num_scenes(split)
    drawn[split] = [_draw_scene(options, rng) for _ in range(count)]
    for shard in range(options.num_shards(split)):
      encoded = [
        records.encode_scene(drawn[split][i], features.make_features(options))
        for i in options.shard_scenes(split, shard)
      ]
      path = folder / options.shard_name(split, shard)
      WRITERS[file_format](path, encoded)
  content = manifest.make_header(options)
  content["splits"] = {
    split: manifest.describe_split(options, split, folder)
    for split in options.splits
  }
  tfds_metadata.write(folder, content)
  return options, drawn


def _flatten(example, prefix=""):
  flat = {}
  for key, value in example.items():
    if isinstance(value, dict):
      flat |= _flatten(value, f"{prefix}{key}/")
    else:
      flat[prefix + key] = value
  return flat


def _check_same(options, found, scene):
  """Compares an example that TFDS has read with a scene."""
  found = _flatten(found)
  described = features.make_features(options)
  assert set(found) == set(described)
  for key, feature in described.items():
    value, expected = found[key], scene[key]
    if feature.encoding == "text":
      assert value.decode() == expected
    elif feature.encoding == "raw":
      images = [np.frombuffer(v, f"<{feature.dtype[0]}2") for v in value]
      np.testing.assert_array_equal(
        np.stack(images).reshape(feature.shape), expected
      )
    else:
      if feature.shape:  # Without TensorFlow, others are Python's numbers.
        assert np.asarray(value).dtype == feature.dtype, key
      value = np.asarray(value, feature.dtype)
      if feature.encoding == "png":
        assert value.shape[0] == feature.num_images
        value = value.reshape(feature.shape)
      expected = np.asarray(expected).astype(feature.dtype)
      np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_tensorflow_reads_the_same_arrays(tmp_path, variant):
  pytest.importorskip("tensorflow")
  options, drawn = _write_set(tmp_path, "tfrecord", variant)
  builder = tfds.builder_from_directory(tmp_path)
  assert set(builder.info.splits) == {
    "train",
    "validation",
    "test",
    "ood_speed",
  }
  for split, scenes_of_split in drawn.items():
    assert builder.info.splits[split].num_examples == len(scenes_of_split)
    if not scenes_of_split:
      continue
    found = list(tfds.as_numpy(builder.as_dataset(split=split)))
    for example, scene in zip(found, scenes_of_split, strict=True):
      _check_same(options, example, scene)


@pytest.mark.parametrize("depths", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_array_records_are_a_data_source(tmp_path, variant, depths):
  if depths:  # TFDS reads images of 16 bits with TensorFlow or OpenCV.
    pytest.importorskip("cv2")
  options, drawn = _write_set(tmp_path, "array_record", variant, depths=depths)
  builder = tfds.builder_from_directory(tmp_path)
  for split, scenes_of_split in drawn.items():
    if not scenes_of_split:
      continue
    source = builder.as_data_source(split=split)
    assert len(source) == len(scenes_of_split)
    for index, scene in enumerate(scenes_of_split):
      _check_same(options, source[index], scene)


def test_rendered_scenes_are_read_without_tensorflow(tmp_path):
  options = make_options(
    tmp_path, num_train=3, file_format="array_record", preview=0
  )
  generate(options, log=lambda line: None)
  source = tfds.builder_from_directory(tmp_path).as_data_source(split="train")
  for index in range(3):
    scene = scenes.make_scene(options, "train", index)
    _check_same(options, source[index], scene)


def test_neither_writing_nor_reading_imports_tensorflow(tmp_path):
  program = (
    "import sys\n"
    "from data_gen import generate; from data_gen.scenes import options\n"
    "generate.generate(options.DatasetOptions("
    f"output_dir={str(tmp_path)!r}, num_train=2, num_validation=0, num_test=0,"
    "image_size=32, num_workers=1, file_format='array_record'))\n"
    "assert 'tensorflow_datasets' not in sys.modules\n"
    "import tensorflow_datasets as tfds\n"
    "builder = tfds.builder_from_directory("
    f"{str(tmp_path)!r})\n"
    "print(len(builder.as_data_source(split='train')[1]['frames']))\n"
    "assert 'tensorflow' not in sys.modules"
  )
  found = subprocess.run(
    [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
  )
  assert found.returncode == 0, found.stderr
  assert found.stdout.endswith("48\n")


def test_labels_have_their_names(tmp_path):
  options, _ = _write_set(tmp_path, "tfrecord", "rich")
  info = tfds.builder_from_directory(tmp_path).info
  assert info.features["shape"].names == list(options.shapes)
  assert info.features["motion"].names == list(options.motions)
  assert info.features["class"].int2str(7) == options.class_names[7]
  assert (info.name, str(info.version)) == (
    "traj3d",
    f"{schema.FORMAT_VERSION}.0.0",
  )


def test_json_is_what_tfds_itself_would_write(tmp_path):
  options, _ = _write_set(tmp_path, "tfrecord", "rich")
  builder = tfds.builder_from_directory(tmp_path)
  written = json.loads((tmp_path / "features.json").read_text())
  assert builder.info.features.to_json() == written
  assert options.num_scene_objects == 3
