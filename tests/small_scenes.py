"""A small data set of rendered scenes, made in a second."""

import os
from typing import Any

from data_gen.generate import generate
from data_gen.options import DatasetOptions
from data_gen.scene_source import SceneSource

NUM_SCENES, NUM_VIEWS, NUM_FRAMES, SIZE = 12, 3, 8, 32


def make(
  folder: str | os.PathLike, split: str = "train", **options: Any
) -> SceneSource:
  """Makes a data set and opens a split; `options` are further ones."""
  generate(
    DatasetOptions(
      **{
        "output_dir": str(folder),
        "num_train": NUM_SCENES,
        "num_validation": 0,
        "num_test": 0,
        "image_size": SIZE,
        "num_frames": NUM_FRAMES,
        "size_min": 2.5,
        "scenes_per_shard": 5,
        "num_workers": 1,
        "preview": 0,
        **options,
      }
    ),
    log=lambda line: None,
  )
  return SceneSource(folder, split)
