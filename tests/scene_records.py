"""A small data set of scenes, written by hand with known contents.

Pixels are random, so that any mistake in order or axis shows.
"""

import json
import pathlib

import numpy as np

from data_gen import records, schema, shards
from data_gen.features import make_features
from data_gen.options import DatasetOptions

NUM_SCENES, NUM_VIEWS, NUM_FRAMES, SIZE = 12, 3, 8, 8


def write(folder: pathlib.Path, *, ground_plane: bool = False) -> list[dict]:
  """Writes split "train"; returns its scenes, by feature."""
  options = DatasetOptions(
    output_dir=str(folder),
    num_train=NUM_SCENES,
    image_size=SIZE,
    num_frames=NUM_FRAMES,
    ground_plane=ground_plane,
  )
  features = make_features(options)
  rng = np.random.default_rng(0)
  scenes = [_make(features, rng, index) for index in range(NUM_SCENES)]
  described = []
  for shard, start in enumerate(range(0, NUM_SCENES, 5)):
    some = scenes[start : start + 5]
    name = schema.shard_name("traj3d", "train", "tfrecord", shard, 3)
    shards.write_shard(
      folder / name, [records.encode_scene(scene, features) for scene in some]
    )
    size = (folder / name).stat().st_size
    described.append({"name": name, "bytes": size, "num_scenes": len(some)})
  manifest = {
    "format_version": schema.FORMAT_VERSION,
    "splits": {"train": {"shards": described}},
    "num_views": NUM_VIEWS,
    "num_frames": NUM_FRAMES,
    "image_size": SIZE,
    "class_names": list(options.class_names),
    "shape_names": ["cube", "cylinder", "cone"],
    "motion_names": ["linear", "circular", "helical", "parabolic"],
    "features": {key: value.to_json() for key, value in features.items()},
  }
  (folder / schema.MANIFEST_NAME).write_text(json.dumps(manifest))
  return scenes


def _make(features, rng, index):
  scene = {}
  for key, feature in features.items():
    if feature.dtype == "uint8":
      scene[key] = rng.integers(0, 256, feature.shape, np.uint8)
    elif feature.dtype == "float32":
      scene[key] = rng.random(feature.shape, np.float32)
    else:
      scene[key] = "text" if feature.dtype == "str" else index
  return scene
