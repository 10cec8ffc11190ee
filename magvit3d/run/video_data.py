"""The data set of one of MAGVIT's configs: videos by name, or scenes' clips."""

import pathlib
from typing import Any

import numpy as np

from data_gen.records.scene_source import SceneSource
from magvit3d.checkpoints import identity
from magvit3d.config.run import RunConfig
from magvit3d.data.clips import ClipSource, load_clips, spread_indices
from magvit3d.data.videos import video_datasets
from magvit3d.errors import UserError
from magvit3d.run.data import TrainingSamples

RENDERED = "traj3d"
_SPLITS = ("train", "validation", "test")


class VideoData:
  """Clips of videos; it has what `RunData` has, but for scenes and cameras.

  Attributes:
    clip_shape: (t, h, w, 3).
    folder: Where they lie, if the config says so.

  Args:
    config: Of a run on videos.
  """

  def __init__(self, config: RunConfig):
    self._config = videos = config.videos
    self._needs_classes = config.lmgvt is not None or any(
      task is None or task.class_conditional
      for task in (config.tasks or {}).values()
    )
    self._is_of_transformer = config.transformer is not None
    self._scored = config.evaluation.split if config.evaluation else "test"
    size = videos.image_size
    self.clip_shape = (videos.num_frames, size, size, 3)
    self.folder = pathlib.Path(videos.data_dir or "")
    self._sources: dict[str, Any] = {}

  def check_fits(self) -> None:
    """Opens all splits, so that none is found missing after days.

    Raises:
      UserError: A field is wrong, or labels would be taken for other ids.
      DataError: Files are missing or damaged.
    """
    for split in _SPLITS:
      self._source(split)
    wanted = self._config.num_classes
    found = len(self._source("test").class_names)
    is_read = self._needs_classes or wanted
    if self._is_of_transformer and found != wanted and is_read:
      raise UserError(
        f"config.dataset_configs.num_classes={wanted}, but the data set "
        f"{self._config.dataset_name} has {found} classes. Set that number."
      )

  def training_samples(self, num_views: int = 1) -> TrainingSamples:
    """Returns the clips to train on; they have one view."""
    del num_views
    return TrainingSamples(self._source("train"))

  def some_clips(self, split: str, count: int) -> dict[str, np.ndarray]:
    """Returns up to `count` clips, spread over a split; see `load_clips`."""
    source = self._source(split)
    return load_clips(source, spread_indices(source, count))

  def some_samples(
    self, split: str, count: int, num_views: int = 1
  ) -> dict[str, np.ndarray]:
    """Returns the same; clips have one view."""
    del num_views
    return self.some_clips(split, count)

  def views_per_sample(self, num_views: int = 1) -> int:
    """Returns 1."""
    del num_views
    return 1

  def num_classes(self) -> int:
    """Returns the number of classes that the config says."""
    return self._config.num_classes

  def num_cameras(self) -> int:
    """Returns 1."""
    return 1

  def identity(self) -> dict[str, Any]:
    """Returns what a tokenizer's checkpoint must agree with."""
    names = ("dataset_name", "dataset_type", "image_size", "num_frames")
    return {name: getattr(self._config, name) for name in names}

  def cut(self) -> dict[str, int]:
    """Returns nothing: `identity` has the frames."""
    return {}

  def splits(self) -> dict[str, Any]:
    """Returns what tells the data that are scored from others."""
    found = self.identity() | {"manifest_sha256": self.manifest_sha256()}
    if self._config.dataset_name == RENDERED:
      return found  # The manifest says all.
    return found | {"videos": repr(self._source(self._scored))}

  def manifest_sha256(self) -> str | None:
    """Returns the SHA-256 of a rendered data set's manifest; None of videos."""
    if self._config.dataset_name != RENDERED:
      return None
    return identity.manifest_sha256(self.folder)

  def _source(self, split: str) -> Any:
    if split not in self._sources:
      self._sources[split] = self._open(split)
    return self._sources[split]

  def _open(self, split: str) -> Any:
    name = self._config.dataset_name
    if name == RENDERED:
      return self._open_scenes(self._config.data_dir, split)
    known = video_datasets.DEFAULT_OPTIONS.get(name, {})
    given = self._config.options.items()
    return video_datasets.open_dataset(
      name,
      split,
      {key: value for key, value in given if key in known},
      image_size=self._config.image_size,
      num_frames=self._config.num_frames,
      is_training=split == "train",
    )

  def _open_scenes(self, folder: str | None, split: str) -> ClipSource:
    if not folder:
      raise UserError(
        "config.dataset_configs.data_dir is missing: the folder that "
        "`python -m data_gen` wrote."
      )
    scenes = SceneSource(folder, split)
    found = (scenes.num_frames, scenes.image_size)
    if found != self.clip_shape[:2]:
      raise UserError(
        f"{folder} has clips of {found[0]} frames of {found[1]} pixels, but "
        f"config.dataset_configs.num_frames={self.clip_shape[0]} and "
        f"config.image_size={self.clip_shape[1]}. Change either."
      )
    return ClipSource(scenes)
