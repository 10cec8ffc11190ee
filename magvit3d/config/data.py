"""Sections of a config about data; see docs/input_pipeline.md."""

import dataclasses
import re
from typing import Any, Literal

from data_gen.scenes.options import DatasetOptions
from magvit3d.config.reading import UserPath
from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneDataConfig(DatasetOptions):
  """`config.data`: the flags of `python -m data_gen`, checked when used.

  Attributes:
    data_dir: A data set to use; None makes one.
  """

  data_dir: UserPath | None = None
  file_format: Literal["tfrecord", "array_record"] = "tfrecord"
  output_dir: str = dataclasses.field(default="", init=False)

  def __post_init__(self):
    """Leaves the flags unchecked: given data have options of their own."""
    if self.num_frames < 1:
      raise UserError(
        f"config.data.num_frames={self.num_frames} must be at least 1."
      )

  def options(
    self, folder: str, kind: type[DatasetOptions] = DatasetOptions
  ) -> DatasetOptions:
    """Returns what makes the data set in a folder.

    Args:
      folder: For the data set.
      kind: Of the options; those of pairs are `data_gen.scenes.violations`'.

    Raises:
      ValueError: A value is out of range; the message names the field.
    """
    values: dict[str, Any] = {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(DatasetOptions)
    }
    values["output_dir"] = folder
    try:
      return kind(**values)
    except ValueError as error:  # It has the flags of `python -m data_gen`.
      flags = "|".join(values)
      text = re.sub(rf"--({flags})\b", r"config.data.\1", str(error))
      raise ValueError(text) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputConfig:
  """`config.input`: samples of rendered scenes.

  Attributes:
    sample: 'view', one camera's clip, or 'scene', several of a scene.
    num_views: Of a scene, at random; None: all.
    num_frames: Of a clip; None: all that fit.
    frame_stride: 2 takes every second frame.
  """

  sample: Literal["view", "scene"] = "view"
  num_views: int | None = None
  num_frames: int | None = None
  frame_stride: int = 1

  def __post_init__(self):
    if self.num_views is not None and self.sample != "scene":
      raise UserError(
        f"config.input.num_views={self.num_views} goes with "
        "config.input.sample='scene'; a 'view' is of one camera."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoDataConfig:
  """`config.dataset_configs` of upstream's configs, and what belongs to it.

  Attributes:
    dataset_name: Of `data.videos.video_datasets`, or 'traj3d'.
    dataset_type: 'video', or 'image': clips of one frame.
    image_size: Pixels a side.
    num_frames: Of a clip.
    num_classes: 0 for unlabelled clips.
    data_dir: None is TFDS's own folder.
    options: The other fields of the section, for `open_dataset`; `data_dir`
      among them.
  """

  dataset_name: str
  dataset_type: str
  image_size: int
  num_frames: int
  num_classes: int
  data_dir: UserPath | None
  options: dict[str, bool | int | float | str | None]
