"""Small data sets to look at, for tests of previews."""

import json
import pathlib

import numpy as np

from data_gen import generate, records, schema, shards
from data_gen.options import DatasetOptions
from data_gen.scene_source import SceneSource, read_manifest

SIZE, NUM_FRAMES = 32, 6


def make_options(folder, **changes):
  values = {
    "num_train": 13,
    "num_validation": 0,
    "num_test": 0,
    "image_size": SIZE,
    "num_frames": NUM_FRAMES,
    "size_min": 2.5,
    "scenes_per_shard": 20,
    "num_workers": 1,
    "preview": 0,
  }
  return DatasetOptions(output_dir=str(folder), **(values | changes))


def make_plain(folder):
  """Options of a data set with all classes, and one that no scene has."""
  options = make_options(
    folder,
    num_train=13,
    ood_pair="cone_helical",
    num_ood_pair=2,
  )
  generate.generate(options, log=lambda line: None)
  return options


def make_rich(folder):
  """Options of a data set with all that is optional."""
  options = make_options(
    folder,
    num_train=1,
    num_objects=2,
    num_clutter=1,
    num_transients=1,
    ground_plane=True,
    depths=True,
    flows=True,
    size_min=2.0,
    size_max=2.5,
  )
  generate.generate(options, log=lambda line: None)
  return options


def make_footage(plain, folder):
  """A folder of scenes that are as those of imported videos."""
  source = SceneSource(plain.output_dir, "train")
  manifest = read_manifest(pathlib.Path(plain.output_dir))
  scenes = []
  for index in range(2):
    scene = source.scene(index)
    for key in (schema.TRAJECTORY, schema.TRAJECTORY_CLEAN):
      scene[key] = np.full_like(scene[key], np.nan)
    scene[schema.MASKS] = np.zeros_like(scene[schema.MASKS])
    scene[schema.ORIENTATION] *= np.nan
    scene[schema.COLOR] *= np.nan
    scene[schema.SIZE] = float("nan")
    scene[schema.SHAPE] = scene[schema.MOTION] = -1
    scene[schema.CLASS] = index
    scene[schema.CAPTION] = "<b>throw</b>"
    scenes.append(records.encode_scene(scene, source.features))
  path = folder / "footage-train.tfrecord-00000-of-00001"
  shards.write_shard(path, scenes)
  described = {
    "name": path.name,
    "num_scenes": 2,
    "bytes": path.stat().st_size,
    "sha256": shards.sha256(path),
  }
  manifest |= {
    "dataset": "footage",
    "arguments": {},
    "shape_names": [],
    "motion_names": [],
    "class_names": ["throw", "roll", "fall"],
    "splits": {
      "train": {
        "num_scenes": 2,
        "class_counts": {"throw": 1, "roll": 1, "fall": 0},
        "shards": [described],
      }
    },
  }
  (folder / schema.MANIFEST_NAME).write_text(json.dumps(manifest))
  return folder
