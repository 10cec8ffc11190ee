"""The data set of a single stage: rendered scenes, or videos by name."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_gen.scene_source import SceneSource
from magvit3d.checkpoints import identity
from magvit3d.data.clips import ClipSource, load_clips, spread_indices
from magvit3d.data.videos import video_datasets
from magvit3d.errors import UserError

RENDERED = "traj3d"


class StageData:
  """Opens all splits at once, so that none is found missing after days.

  Attributes:
    training: Source of training clips, for `make_batches`.
    identity: What a checkpoint must agree with.

  Args:
    config: One of upstream's configs; reads `dataset_name`, `dataset_type`,
      `dataset_configs`, `image_size` and `num_eval_examples`.
    clip_shape: (t, h, w, 3).

  Raises:
    UserError: A field is wrong, or files are missing or damaged.
  """

  def __init__(
    self, config: Mapping[str, Any], clip_shape: tuple[int, int, int, int]
  ):
    self._config = config
    self._clip_shape = clip_shape
    self._fixed = {split: self._open(split) for split in ("validation", "test")}
    self.training = self._open("train", is_training=True)
    names = ("dataset_name", "dataset_type", "image_size")
    self.identity = {name: config[name] for name in names} | {
      "num_frames": clip_shape[0]
    }

  def some_clips(self, split: str) -> dict[str, np.ndarray]:
    """Returns clips of 'validation' or 'test', as `num_eval_examples` says."""
    source = self._fixed[split]
    count = self._config["num_eval_examples"]
    return load_clips(source, spread_indices(source, count))

  def manifest_sha256(self) -> str | None:
    """Returns the SHA-256 of a rendered data set's manifest; None of videos."""
    if self._config["dataset_name"] != RENDERED:
      return None
    folder = self._config["dataset_configs"]["data_dir"]
    return identity.manifest_sha256(pathlib.Path(folder))

  def check_classes(self, num_classes: int, *, are_used: bool) -> None:
    """Raises UserError if labels would be taken for other ids.

    Args:
      num_classes: Of the transformer's vocabulary.
      are_used: Whether sequences hold the class.
    """
    found = len(self._fixed["test"].class_names)
    if found != num_classes and (are_used or num_classes):
      raise UserError(
        f"config.dataset_configs.num_classes={num_classes}, but the data set "
        f"{self._config['dataset_name']} has {found} classes. Set that number."
      )

  def _open(self, split: str, *, is_training: bool = False) -> Any:
    name, given = self._config["dataset_name"], self._config["dataset_configs"]
    if name == RENDERED:
      return self._open_scenes(given["data_dir"], split)
    known = video_datasets.DEFAULT_OPTIONS.get(name, {})
    return video_datasets.open_dataset(
      name,
      split,
      {key: value for key, value in given.items() if key in known},
      image_size=self._config["image_size"],
      num_frames=self._clip_shape[0],
      is_training=is_training,
    )

  def _open_scenes(self, folder: str | None, split: str) -> ClipSource:
    if not folder:
      raise UserError(
        "config.dataset_configs.data_dir is missing: the folder that "
        "`python -m data_gen` wrote."
      )
    scenes = SceneSource(folder, split)
    found = (scenes.num_frames, scenes.image_size)
    if found != self._clip_shape[:2]:
      raise UserError(
        f"{folder} has clips of {found[0]} frames of {found[1]} pixels, but "
        f"config.dataset_configs.num_frames={self._clip_shape[0]} and "
        f"config.image_size={self._clip_shape[1]}. Change either."
      )
    return ClipSource(scenes)
