"""Records against independent readers: protobuf, Pillow and TensorFlow."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorflow_datasets.proto import tf_example_generated_pb2

from data_gen.files import png
from data_gen.records import examples, records, shards
from data_gen.records.features import make_features
from data_gen.scenes import scenes
from data_gen.scenes.options import DatasetOptions

OPTIONS = DatasetOptions(
  num_train=12, image_size=32, num_frames=4, size_min=2.5
)


FEATURES = make_features(OPTIONS)


@pytest.fixture(scope="module")
def scene():
  return scenes.make_scene(OPTIONS, "train", 5)


def _check_features(values, scene):
  """Compares lists of values by key with the scene that was written."""
  for key in ("trajectory", "trajectory_clean", "orientation", "color"):
    expected = scene[key].astype(np.float32).ravel()
    np.testing.assert_array_equal(np.float32(values[key]), expected)
  for key in ("background", "intrinsics", "camera_from_world"):
    expected = scene[key].astype(np.float32).ravel()
    np.testing.assert_array_equal(np.float32(values[key]), expected)
  assert list(values["size"]) == [scene["size"]]
  assert list(values["class"]) == [scene["shape"] * 4 + scene["motion"]]
  for key in ("shape", "motion", "scene_id", "seed"):
    assert list(values[key]) == [scene[key]]
  assert [bytes(v) for v in values["caption"]] == [scene["caption"].encode()]
  for key in ("frames", "masks"):
    images = [np.asarray(Image.open(io.BytesIO(v))) for v in values[key]]
    expected = scene[key]
    np.testing.assert_array_equal(
      np.stack(images), expected.reshape(-1, *expected.shape[2:])
    )


KEYS = {
  *("frames", "masks", "shape", "motion", "class", "scene_id", "seed"),
  *("trajectory", "trajectory_clean", "orientation", "size", "color"),
  *("background", "intrinsics", "camera_from_world", "caption"),
}


def test_protobuf_reads_the_same_values(scene):
  message = tf_example_generated_pb2.Example.FromString(
    records.encode_scene(scene, FEATURES)
  )
  values = {}
  for key, feature in message.features.feature.items():
    values[key] = getattr(feature, feature.WhichOneof("kind")).value
  assert set(values) == KEYS
  _check_features(values, scene)


def test_tensorflow_reads_the_same_values(scene, tmp_path):
  tf = pytest.importorskip("tensorflow")
  path = tmp_path / "shard"
  shards.write_shard(path, [records.encode_scene(scene, FEATURES)] * 2)
  found = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
  assert len(found) == 2
  floats = ("trajectory", "trajectory_clean", "orientation", "size", "color")
  floats += ("background", "intrinsics", "camera_from_world")
  strings = ("frames", "masks", "caption")
  types = {
    key: tf.string
    if key in strings
    else tf.float32
    if key in floats
    else tf.int64
    for key in KEYS
  }
  parsed = tf.io.parse_single_example(
    found[1], {key: tf.io.VarLenFeature(types[key]) for key in KEYS}
  )
  values = {key: value.values.numpy() for key, value in parsed.items()}
  _check_features(values, scene)


def test_values_survive_writing_and_reading():
  written = {
    "bytes": [b"", b"a" * 300],
    "integers": np.array([0, 1, -1, 127, 128, 2**63 - 1, -(2**63)]),
    "floats": np.array([0.5, -1e30, np.inf]),
  }
  record = examples.encode_example(written)
  found = examples.decode_example(record)
  assert [bytes(v) for v in found["bytes"]] == written["bytes"]
  np.testing.assert_array_equal(found["integers"], written["integers"])
  np.testing.assert_array_equal(found["floats"], np.float32(written["floats"]))
  some = examples.decode_example(record, {"floats", "bytes"})
  assert set(some) == {"floats", "bytes"}


def test_garbage_is_no_example():
  with pytest.raises(ValueError, match=r"no tf\.train\.Example"):
    examples.decode_example(b"\xff" * 40)


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 7, 3)])
def test_png_files_are_read_back_by_us_and_by_pillow(shape):
  images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  for image, data in zip(images, png.encode_pngs(images), strict=True):
    np.testing.assert_array_equal(Image.open(io.BytesIO(data)), image)
    found = np.zeros_like(image)
    png.decode_png(memoryview(data), found)
    np.testing.assert_array_equal(found, image)


def test_png_files_of_others_are_read_and_of_other_sizes_refused():
  image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
  file = io.BytesIO()
  Image.fromarray(image).save(file, format="PNG")
  found = np.zeros_like(image)
  png.decode_png(memoryview(file.getvalue()), found)
  np.testing.assert_array_equal(found, image)
  with pytest.raises(ValueError, match="expected is RGB"):
    png.decode_png(memoryview(file.getvalue()), np.zeros((7, 5, 3), np.uint8))


def test_feature_keys_are_those_of_the_format(scene):
  assert (
    set(examples.decode_example(records.encode_scene(scene, FEATURES))) == KEYS
  )
  assert OPTIONS.class_names[5] == "cylinder_circular"
