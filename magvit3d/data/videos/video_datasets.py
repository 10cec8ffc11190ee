"""Video data sets by name, for training on other clips than rendered scenes.

What they are and how to lay them out: docs/datasets.md.
"""

from collections.abc import Callable, Mapping
from typing import Any

from magvit3d.data.videos.image_folder import ImageFolder
from magvit3d.data.videos.labelled_files import SPLITS
from magvit3d.data.videos.tfds_videos import (
  BAIR_CAMERAS,
  BairRobotPushing,
  Ucf101,
)
from magvit3d.data.videos.video_clips import (
  Framing,
  TrainingClips,
  VideoClips,
  Videos,
)
from magvit3d.data.videos.video_folder import VideoFolder
from magvit3d.errors import UserError


class UnknownDatasetError(UserError, ValueError):
  """There is no data set of that name."""


def open_dataset(
  name: str,
  split: str,
  dataset_configs: Mapping[str, Any],
  *,
  image_size: int,
  num_frames: int,
  is_training: bool,
) -> VideoClips:
  """Opens a split of a data set as a random-access source of clips.

  Args:
    name: A key of DEFAULT_OPTIONS.
    split: "train", "validation" or "test".
    dataset_configs: Options; those not given are as in DEFAULT_OPTIONS.
    image_size: Height and width of the clips, pixels.
    num_frames: Frames of a clip; 1 for images.
    is_training: Whether `make_batches` takes random clips; otherwise, and by
      `source[index]`, each video has one clip that is always the same.

  Raises:
    UnknownDatasetError: There is no data set of that name.
    UserError: An option is unknown or wrong.
    DataError: Files are missing or damaged.
  """
  if name not in DEFAULT_OPTIONS:
    raise UnknownDatasetError(
      f"There is no data set {name!r}; there are {', '.join(DEFAULT_OPTIONS)}."
    )
  if split not in SPLITS:
    raise UserError(f"There is no split {split!r}; use one of {SPLITS}.")
  options = _checked_options(name, dataset_configs)
  for field, value in (("image_size", image_size), ("num_frames", num_frames)):
    if value < 1:
      raise UserError(f"{field}={value} must be at least 1.")
  if name == "image_folder" and num_frames != 1:
    raise UserError(
      f"image_folder has images, clips of one frame, but num_frames="
      f"{num_frames}. Set num_frames=1, or use video_folder."
    )
  framing = Framing(
    num_frames=num_frames,
    image_size=image_size,
    frame_stride=options.get("frame_stride", 1),
    random_crop=options["random_crop"],
    flip=options["flip"],
    loop_short_videos=options.get("short_videos") == "loop",
    evaluation_position=0.0 if name == "bair" else 0.5,
  )
  videos = _OPENERS[name](split, options, framing)
  return (TrainingClips if is_training else VideoClips)(videos, framing)


# A value's type is the type that is asked for; an empty data_dir stands for
# the folder where TFDS keeps its data sets.
_CLIP_OPTIONS = {"data_dir": "", "random_crop": False, "flip": False}
_VIDEO_OPTIONS = {
  **_CLIP_OPTIONS,
  "frame_stride": 1,
  "short_videos": "error",
  "damaged_videos": "error",
  "repeated_videos": "error",
}
DEFAULT_OPTIONS: dict[str, dict[str, Any]] = {
  "ucf101": _VIDEO_OPTIONS,
  "bair": {**_VIDEO_OPTIONS, "camera": "image_aux1"},
  "video_folder": _VIDEO_OPTIONS,
  "image_folder": _CLIP_OPTIONS,
}

_OPENERS: dict[str, Callable[[str, dict[str, Any], Framing], Videos]] = {
  "ucf101": lambda split, options, framing: Ucf101(options["data_dir"], split),
  "bair": lambda split, options, framing: BairRobotPushing(
    options["data_dir"], split, options["camera"]
  ),
  "video_folder": lambda split, options, framing: VideoFolder(
    options["data_dir"],
    split,
    min_frames=framing.span,
    short_videos=options["short_videos"],
    damaged=options["damaged_videos"],
    repeated=options["repeated_videos"],
  ),
  "image_folder": lambda split, options, framing: ImageFolder(
    options["data_dir"], split
  ),
}


def _checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
  """Returns all options of a data set, or raises UserError."""
  known = DEFAULT_OPTIONS[name]
  given = {**given, "data_dir": given.get("data_dir") or ""}  # It may be None.
  for key, value in given.items():
    if key not in known:
      raise UserError(
        f"dataset_configs.{key} is no option of {name}, which has "
        f"{', '.join(sorted(known))}."
      )
    if type(value) is not type(known[key]):
      raise UserError(
        f"dataset_configs.{key}={value!r} must be "
        f"{type(known[key]).__name__}, as in {key}={known[key]!r}."
      )
  options = {**known, **given}
  is_folder = name.endswith("_folder")
  if is_folder and not options["data_dir"]:
    raise UserError(
      f"{name} needs dataset_configs.data_dir, the folder that holds train/, "
      "validation/ and test/."
    )
  if options.get("frame_stride", 1) < 1:
    raise UserError(
      f"dataset_configs.frame_stride={options['frame_stride']} must be at "
      "least 1: 2 takes every second frame."
    )
  choices = {
    "short_videos": ("error", "loop", *(["skip"] if is_folder else [])),
    "damaged_videos": ("error", *(["skip"] if is_folder else [])),
    "repeated_videos": ("error", *(["allow"] if is_folder else [])),
    "camera": BAIR_CAMERAS,
  }
  for key in choices.keys() & options.keys():
    if options[key] not in choices[key]:
      raise UserError(
        f"dataset_configs.{key}={options[key]!r} is none of {choices[key]}."
      )
  return options
