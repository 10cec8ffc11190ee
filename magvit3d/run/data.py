"""The data set of a run: made by it, or given by `config.data.data_dir`."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from data_gen import schema, workers
from data_gen.errors import DataError
from data_gen.generate import check_options, generate
from data_gen.records.scene_source import SceneSource, read_manifest
from data_gen.scenes.fair_crowds import FairCrowdOptions
from data_gen.scenes.moving_cameras import MovingCameraOptions
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.violations import ViolationOptions
from magvit3d.checkpoints import identity
from magvit3d.cli import interruption
from magvit3d.config.run import RunConfig
from magvit3d.config.world_model import CAMERA
from magvit3d.data.clips import (
  ClipSource,
  TrainingClipSource,
  load_clips,
  spread_indices,
)
from magvit3d.data.crops import Crop, CroppedClips
from magvit3d.data.frame_window import fit_window, scene_window
from magvit3d.data.scene_clips import (
  SceneClips,
  TrainingSceneClips,
  check_num_views,
  fold_views,
  spread_views,
)
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.files import write_errors
from magvit3d.models import cameras

# Of the scenes that studies make; others make usual ones.
_KINDS = {"persistence": FairCrowdOptions, "surprise": ViolationOptions}
_SCENE_KEYS = ("frames", "masks", "labels", "background", *cameras.KEYS)


@dataclasses.dataclass(frozen=True)
class TrainingSamples:
  """What a stage trains on.

  Attributes:
    source: Random access to samples.
    views_per_sample: Clips that a sample consists of.
    transform: Applied to each batch; see `make_batches`.
  """

  source: Any
  views_per_sample: int = 1
  transform: Callable | None = None

  def cropped(self, crop: Crop | None) -> "TrainingSamples":
    """Returns random crops of them; None leaves them whole."""
    if crop is None:
      return self
    return dataclasses.replace(self, source=CroppedClips(self.source, crop))


class RunData:
  """Makes, checks and opens the data set of a run.

  Args:
    config: Of a run on rendered scenes.
    workdir: Folder of the run; the data lie in its `data` unless they are
      given.

  Attributes:
    window: Frames of the clips.
    clip_shape: (t, h, w, 3).

  Raises:
    UserError: The clips do not fit into the scenes.
  """

  def __init__(self, config: RunConfig, workdir: pathlib.Path):
    self._config, self._samples = config.data, config.input
    self._kind = _KINDS.get(config.study, DatasetOptions)
    if config.world_model and config.world_model.action == CAMERA:
      self._kind = MovingCameraOptions
    self.window = scene_window(self._config, self._samples)
    if config.tokenizer_cache and (
      self._samples.sample == "scene" or self.window.num_starts > 1
    ):
      raise UserError(
        "config.tokenizer_cache=True keeps the tokens of each clip once, but "
        "config.input asks for other samples (sample, num_frames, "
        "frame_stride). Use --config.tokenizer_cache=False."
      )
    size = self._config.image_size
    self.clip_shape = (self.window.num_frames, size, size, 3)
    self.is_given = bool(self._config.data_dir)
    self.folder = pathlib.Path(self._config.data_dir or workdir / "data")
    self._sources: dict[str, ClipSource] = {}

  def generate(self) -> None:
    """Makes the data set, or what is missing of it."""
    try:
      with as_user_errors(ValueError):
        generate(
          self._options(),
          log=logging.info,
          write_shards=functools.partial(
            workers.write_shards, check=interruption.check
          ),
        )
    except OSError as error:
      if error.errno is None:  # data_gen says it in its own words.
        raise UserError(str(error)) from error
      path = error.filename or self.folder
      raise write_errors.WriteError(path, error) from error

  def _options(self) -> DatasetOptions:
    return self._config.options(str(self.folder), self._kind)

  def check_fits(self) -> None:
    """Raises UserError if what is there was made with other options."""
    if self.is_given:
      self._check_manifest()
      return
    with as_user_errors(ValueError):
      check_options(self._options())

  def _check_manifest(self) -> None:
    manifest = read_manifest(self.folder)
    for field in ("num_frames", "image_size"):
      wanted = getattr(self._config, field)
      if manifest[field] != wanted:
        raise UserError(
          f"config.data.{field}={wanted}, but the data set in {self.folder} "
          f"has {manifest[field]}. Use that, or other data."
        )

  def is_complete(self) -> bool:
    """Whether nothing is left to make; says what of the run's own is spoilt.

    Raises:
      DataError: A shard of a data set that is given is missing, or has another
        size than the manifest says.
    """
    if not (self.folder / schema.MANIFEST_NAME).exists():
      return False
    try:
      for split in read_manifest(self.folder)["splits"]:
        SceneSource(self.folder, split)
    except DataError as error:
      if self.is_given:
        raise  # It is not ours to mend.
      logging.warning("Stage data makes again what is spoilt: %s", error)
      return False
    return True

  def outputs(self) -> list[pathlib.Path]:
    """Returns files of the run's own data that say what the others are."""
    if self.is_given:
      return []
    names = [schema.MANIFEST_NAME]
    names += [schema.PREVIEW_NAME] * bool(self._options().preview)
    return [self.folder / name for name in names]

  def clips(self, split: str) -> ClipSource:
    """Returns all clips of a split."""
    if split not in self._sources:
      self._check_manifest()
      self._sources[split] = ClipSource(
        SceneSource(self.folder, split), self.window
      )
    return self._sources[split]

  def training_samples(self, num_views: int = 1) -> TrainingSamples:
    """Returns the samples to train on.

    Args:
      num_views: More than 1 asks for scenes with so many views, for a
        transformer that sees them together; else they are clips, or scenes
        whose views are taken one by one, as `config.input` says.
    """
    scenes = self.clips("train").scenes
    if num_views > 1:
      source = TrainingSceneClips(scenes, num_views, self.window)
      return TrainingSamples(source, num_views)
    if self._samples.sample == "scene":
      source = TrainingSceneClips(scenes, self._samples.num_views, self.window)
      return TrainingSamples(source, source.views_per_sample, fold_views)
    if self.window.num_starts > 1:
      return TrainingSamples(TrainingClipSource(scenes, self.window))
    return TrainingSamples(self.clips("train"))

  def views_per_sample(self, num_views: int = 1) -> int:
    """Returns the clips of a sample, also of data that are not made yet.

    Args:
      num_views: See `training_samples`.

    Raises:
      UserError: The scenes have fewer cameras than are asked for.
    """
    if num_views > 1:
      total = self.num_cameras()
      check_num_views(num_views, total, field="transformer.num_views")
      return num_views
    if self._samples.sample == "view":
      return 1
    total, count = self.num_cameras(), self._samples.num_views
    check_num_views(count, total)
    return count or total

  def some_samples(
    self, split: str, count: int, num_views: int = 1
  ) -> dict[str, np.ndarray]:
    """Returns up to `count` clips, spread over a split.

    Args:
      split: Of the data.
      count: Clips.
      num_views: More than 1 gives scenes with so many views, as in a batch of
        `SceneClips`.
    """
    if num_views == 1:
      return self.some_clips(split, count)
    source = self.scene_clips(split, num_views)
    count = max(count // num_views, 1)
    return load_clips(source, spread_indices(source, count), _SCENE_KEYS)

  def scene_clips(self, split: str, num_views: int | None) -> SceneClips:
    """Returns the scenes of a split as samples.

    Args:
      split: Of the data.
      num_views: Of a scene; None for all its cameras.
    """
    return SceneClips(self.clips(split).scenes, num_views, self.window)

  def held_out_scenes(
    self, split: str, num_clips: int, num_views: int | None
  ) -> HeldOutScenes:
    """Returns scenes with up to `num_clips` clips, spread over a split.

    Args:
      split: Of the data.
      num_clips: Of all scenes.
      num_views: Of a scene; None for all its cameras.
    """
    self._check_some(split, num_clips)
    source = self.scene_clips(split, num_views)
    scenes = source.scenes
    num_scenes = max(num_clips // source.views_per_sample, 1)
    indices = spread_indices(source, num_scenes)
    return HeldOutScenes(
      load_clips(source, indices, (*_SCENE_KEYS, "trajectory")),
      scenes.class_names,
      split,
      scenes,
      indices.tolist(),
      spread_views(source.views_per_sample, scenes.num_views).tolist(),
      self.window.middle,
    )

  def some_clips(self, split: str, count: int) -> dict[str, np.ndarray]:
    """Returns up to `count` clips, spread over a split; see `load_clips`."""
    self._check_some(split, count)
    source = self.clips(split)
    return load_clips(source, spread_indices(source, count))

  def _check_some(self, split: str, count: int) -> None:
    source = self.clips(split)
    if not count or not len(source):
      raise UserError(
        f"{count} clips of the {len(source)} in the {split} split of "
        f"{self.folder} are none. Make scenes (config.data.num_{split}), and "
        "look at some (num_validation_clips, num_clips)."
      )

  def num_classes(self) -> int:
    """Returns the number of classes, also of data that are not made yet."""
    if self.is_given:
      return len(read_manifest(self.folder)["class_names"])
    with as_user_errors(ValueError):
      return len(self._options().class_names)

  def num_cameras(self) -> int:
    """Returns the cameras of a scene, also of data that are not made yet."""
    if self.is_given:
      return read_manifest(self.folder)["num_views"]
    with as_user_errors(ValueError):
      return self._options().num_views

  def identity(self) -> dict[str, Any]:
    """Returns what the data set was made with, and what clips leave out.

    Of the run's own that are gone, what they will be made with again.
    """
    is_there = (self.folder / schema.MANIFEST_NAME).exists()
    if is_there or self.is_given:
      return read_manifest(self.folder)["arguments"] | self.cut()
    with as_user_errors(ValueError):
      return check_options(self._options())["arguments"] | self.cut()

  def cut(self) -> dict[str, int]:
    """Returns which frames the clips have; nothing if they have all."""
    if self.window == fit_window(self._config.num_frames):
      return {}
    return {
      "clip_frames": self.window.num_frames,
      "frame_stride": self.window.stride,
    }

  def manifest_sha256(self) -> str | None:
    """Returns the SHA-256 of the manifest, in hex; None if there is none."""
    return identity.manifest_sha256(self.folder)

  def splits(self) -> dict[str, Any]:
    """Returns counts and shards of each split, SHA-256 included."""
    return read_manifest(self.folder)["splits"]
