"""Scenes that no network has seen, rendered as a model's training data were."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from data_gen import generate, schema
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.options import DatasetOptions
from magvit3d.data.clips import load_clips
from magvit3d.data.frame_window import fit_window
from magvit3d.data.scene_clips import SceneClips, spread_views
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.inference.trained import TrainedNetworks

SPLIT = "test"
# Seeds of data sets that people train on are small numbers; these are not.
FIRST_SEED = 2**31
MAX_SEED = 2**31 - 1
_KEYS = (
  "frames",
  "masks",
  "labels",
  "background",
  "trajectory",
  "views",
  "intrinsics",
  "camera_from_world",
)


def check_seed(seed: int) -> None:
  """Raises UserError unless --seed can be one."""
  if not 0 <= seed <= MAX_SEED:
    raise UserError(f"--seed={seed} must be from 0 to {MAX_SEED}.")


def render(
  trained: TrainedNetworks, folder: pathlib.Path, num_scenes: int, seed: int
) -> HeldOutScenes:
  """Renders scenes by the options of a model's own data, and opens them.

  Args:
    trained: Networks.
    folder: Empty; gets the scenes.
    num_scenes: Classes are as even as can be, in random order.
    seed: From 0 to `MAX_SEED`; the scenes are those of `FIRST_SEED` + this.

  Raises:
    UserError: It is not known how the data were made; they cannot be scored in
      metres, or were made with the same seed.
  """
  check_seed(seed)
  with as_user_errors(ValueError, OSError):
    generate.generate(
      _options(trained.data, folder, num_scenes, FIRST_SEED + seed),
      log=lambda line: None,
    )
  scenes = SceneSource(folder, SPLIT)
  window = fit_window(
    scenes.num_frames, trained.num_frames, trained.frame_stride
  )
  num_views = trained.model.num_views if trained.sees_views else None
  source = SceneClips(scenes, num_views, window)
  held_out = HeldOutScenes(
    load_clips(source, range(len(scenes)), _KEYS),
    scenes.class_names,
    SPLIT,
    scenes,
    range(len(scenes)),
    spread_views(source.views_per_sample, scenes.num_views).tolist(),
    window.middle,
  )
  why = held_out.why_not_scored()
  if why:
    raise UserError(f"The model's scenes cannot be scored in metres: {why}")
  return held_out


def _options(
  data: Mapping[str, Any] | None,
  folder: pathlib.Path,
  num_scenes: int,
  seed: int,
) -> DatasetOptions:
  if data is None:
    raise UserError(
      "This model does not say how its data were made, so no new scenes can be "
      "rendered for it: it was trained on footage, or saved by an older "
      "magvit3d. Save it anew, from its run, with save_pretrained."
    )
  if data["seed"] == seed:
    raise UserError(
      f"--seed={seed - FIRST_SEED} is the seed of the model's own data. Choose "
      "another."
    )
  fields = {field.name for field in dataclasses.fields(DatasetOptions)}
  known = {name: data[name] for name in fields & set(data)}
  counts = {f"num_{split}": 0 for split in schema.SPLITS}
  return DatasetOptions(
    **known
    | counts
    | {
      f"num_{SPLIT}": num_scenes,
      "seed": seed,
      "output_dir": str(folder),
      "file_format": "tfrecord",
      "scenes_per_shard": num_scenes,
      "num_workers": 1,
      "preview": 0,
    }
  )
