"""Readers of data sets and their records."""

import functools
import json
import pathlib

import numpy as np

SHARD = "traj3d-train.tfrecord-00000-of-00001"


@functools.cache
def make_data_set(file_format: str = "tfrecord") -> dict[str, bytes]:
  """The files of a small data set, by name."""
  import tempfile

  import small_scenes

  with tempfile.TemporaryDirectory() as folder:
    from data_gen.generate import generate
    from data_gen.scenes.options import DatasetOptions

    options = DatasetOptions(
      output_dir=folder,
      num_train=2,
      num_validation=0,
      num_test=0,
      image_size=16,
      num_frames=4,
      size_min=5.0,
      size_max=6.0,
      num_workers=1,
      preview=0,
      file_format=file_format,
    )
    del small_scenes
    generate(options, log=lambda line: None)
    return {p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir()}


def put_files(files: dict[str, bytes], folder: pathlib.Path) -> None:
  for name, data in files.items():
    (folder / name).write_bytes(data)


def prepare_data(name, file_format="tfrecord"):
  def prepare(folder):
    put_files(make_data_set(file_format), folder)
    return [make_data_set(file_format)[name]]

  return prepare


def _all_scenes(folder):
  from data_gen.records.scene_source import SceneSource

  source = SceneSource(folder, "train")
  return [source.scene(i) for i in range(len(source))]


def read_data(name):
  def read(folder, data):
    (folder / name).write_bytes(data)
    return _all_scenes(folder)

  return read


def read_manifest(folder, data):
  from data_gen import verify
  from data_gen.previews.data_set import DataSet
  from data_gen.previews.facts import describe_objects, describe_scene
  from magvit3d.run import data_manifest

  (folder / "manifest.json").write_bytes(data)
  data_manifest.describe(folder)
  verify.verify(folder, log=lambda line: None)
  data_set = DataSet(folder, "train")
  for number in range(min(len(data_set.source), 4)):
    scene = data_set.scene(number)
    describe_scene(data_set, scene, describe_objects(data_set, scene))
  data_set.source.clip(0, 0)
  data_set.source.views(0, [0], ["frames", "intrinsics"])


def read_verify(name):
  def read(folder, data):
    from data_gen import verify

    (folder / name).write_bytes(data)
    verify.verify(folder, log=lambda line: None)
    return (folder / name).read_bytes()

  return read


def _records():
  import tempfile

  from data_gen.records.tfrecord import TFRecordSource

  with tempfile.TemporaryDirectory() as folder:
    put_files(make_data_set(), pathlib.Path(folder))
    source = TFRecordSource([pathlib.Path(folder) / SHARD])
    return [source[i] for i in range(len(source))]


def prepare_record(folder):
  put_files(make_data_set(), folder)
  return _records()


def read_record(folder, data):
  """A record whose checks are right, in a data set whose manifest is."""
  from data_gen.records import shards
  from data_gen.records.scene_source import SceneSource

  path = folder / SHARD
  path.unlink(missing_ok=True)
  shards.write_shard(path, [data])
  manifest = json.loads(make_data_set()["manifest.json"])
  split = manifest["splits"]["train"]
  split["num_scenes"] = split["shards"][0]["num_scenes"] = 1
  split["shards"][0]["bytes"] = path.stat().st_size
  (folder / "manifest.json").write_text(json.dumps(manifest))
  source = SceneSource(folder, "train")
  source.clip(0, 1)
  source.views(0, [0, 2], ["frames", "masks", "camera_from_world"])
  return source.scene(0)


def prepare_values(folder):
  import tempfile

  from data_gen.records.scene_source import SceneSource

  put_files(make_data_set(), folder)
  with tempfile.TemporaryDirectory() as other:
    put_files(make_data_set(), pathlib.Path(other))
    scene = SceneSource(other, "train").scene(0)
  return [
    json.dumps(
      {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in scene.items()
        if key not in ("frames", "masks")
      }
    ).encode()
  ]


def read_values(folder, data):
  """A sound record whose numbers are others, and what is shown of it."""
  from data_gen.previews import scene_page
  from data_gen.previews.data_set import DataSet
  from data_gen.records import examples
  from data_gen.records.features import Feature

  try:
    given = json.loads(data)
  except (ValueError, RecursionError):
    given = {}
  features = json.loads(make_data_set()["manifest.json"])["features"]
  encoded = examples.decode_example(_records()[0])
  encoded = {k: v if isinstance(v, np.ndarray) else [*map(bytes, v)]
             for k, v in encoded.items()}  # fmt: skip
  for key, content in features.items():
    feature = Feature.from_json(content)
    if feature.encoding != "numbers":
      continue
    try:
      values = np.array(given[key], feature.dtype)
    except (KeyError, TypeError, ValueError, OverflowError):
      continue  # No record has such.
    encoded[key] = values.reshape(-1)
  read_record(folder, examples.encode_example(encoded))
  scene_page.make_page(DataSet(folder, "train"), 0)


def read_example(folder, data):
  from data_gen.records import examples

  return examples.decode_example(data)
