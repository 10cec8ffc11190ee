"""Calibrated footage as a data set: which clips there are, and their records.

`Footage` has what `data_gen.generate` asks of `DatasetOptions` too: splits,
shards, features and arguments.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_gen import schema
from data_gen.files import user_paths, video_files
from data_gen.footage import calibration_checks, mask_files
from data_gen.footage.calibration import SPLITS, CameraEntry, read_calibration
from data_gen.footage.camera_times import PAIRINGS
from data_gen.footage.recordings import Recording, open_recording
from data_gen.footage.squares import FITS
from data_gen.records import shards
from data_gen.scenes.flag_checks import check_choice, check_range, check_type
from data_gen.shard_plan import ShardPlan

FILE_FORMATS = ("tfrecord", "array_record")
_MOST_NOTES = 6  # Of a kind.
_NUM_BACKGROUNDS_KEPT = 32  # Recordings.


def _field(default, help_text: str):
  return dataclasses.field(default=default, metadata={"help": help_text})


@dataclasses.dataclass(frozen=True)
class FootageOptions:
  """Flags of `python -m data_gen.import_videos`.

  Raises:
    ValueError: A value is out of range; the message names the flag.
  """

  calibration: str = _field(
    "",
    "JSON file that names videos, cameras, masks and tracks: docs/footage.md.",
  )
  output_dir: str = _field(
    "",
    "Folder for shards and manifest. If it holds an unfinished data set of the "
    "same files and flags, the missing shards are added.",
  )
  num_frames: int = _field(16, "Frames of a clip.")
  image_size: int = _field(128, "Height and width of a frame, pixels.")
  frame_stride: int = _field(1, "2 takes every second frame of the videos.")
  clip_step: int = _field(
    0,
    "Frames of the video from one clip's start to the next; 0: clips follow "
    "each other without overlap.",
  )
  fit: str = _field(
    "crop",
    "How frames become square: 'crop' keeps the middle, 'pad' adds black.",
  )
  pair_by: str = _field(
    "time",
    "Which frames of several cameras belong together: 'time', those of the "
    "same time by the time stamps of the files, or an error if there are none "
    "within half the time from a frame to the next; 'nearest', the nearest in "
    "time, however far; 'count', those of the same number.",
  )
  repeated_videos: str = _field(
    "error",
    "What becomes of a video that recordings of two splits have: 'error', or "
    "'allow'.",
  )
  scenes_per_shard: int = _field(250, "Scenes (clips) of a full shard.")
  file_format: str = _field(
    "tfrecord", "Of the shards: 'tfrecord' or 'array_record'."
  )
  num_workers: int = _field(
    0,
    "Processes that decode; 0 for one a core that this process may use. The "
    "bytes stay the same.",
  )

  def __post_init__(self):
    for field in dataclasses.fields(self):
      check_type(field.name, getattr(self, field.name), field.type)
    for name in ("calibration", "output_dir"):
      if not getattr(self, name):
        raise ValueError(f"--{name} is missing: see docs/footage.md.")
      # Frozen, but here.
      path = user_paths.expanded(getattr(self, name))
      object.__setattr__(self, name, path)
    check_choice("fit", self.fit, FITS)
    check_choice("pair_by", self.pair_by, PAIRINGS)
    check_choice("repeated_videos", self.repeated_videos, ("error", "allow"))
    check_choice("file_format", self.file_format, FILE_FORMATS)
    check_range("num_frames", self.num_frames, 1, 1024)
    check_range("image_size", self.image_size, 8, 4096)
    check_range("frame_stride", self.frame_stride, 1, 1000)
    check_range("clip_step", self.clip_step, 0, 10**6)
    check_range("scenes_per_shard", self.scenes_per_shard, 1, 10**6)
    check_range("num_workers", self.num_workers, 0, 1024)

  @property
  def span(self) -> int:
    """Frames of a video from a clip's first to its last."""
    return (self.num_frames - 1) * self.frame_stride + 1

  @property
  def step(self) -> int:
    """Frames of a video from one clip's start to the next."""
    return self.clip_step or self.num_frames * self.frame_stride


class Footage(ShardPlan):
  """Recordings cut into clips; a clip of all cameras is a scene.

  Attributes: as of `DatasetOptions`, where they have the same name.
    recordings: Opened.
    has_masks: Whether every camera has masks.
  """

  preset = schema.FOOTAGE
  seed = 0
  preview = 0
  shapes: tuple[str, ...] = ()
  motions: tuple[str, ...] = ()
  splits = SPLITS
  # Of the records: see `features.make_features`.
  ground_plane = True  # There is a picture of the background.
  depths = flows = has_violations = has_camera_path = False
  num_scene_objects = 1

  def __init__(self, options: FootageOptions):
    """Reads the JSON and opens all files.

    Raises:
      DataError: Something is missing or wrong; the message names the field.
    """
    video_files.import_av()
    self._options = options
    self._path = pathlib.Path(options.calibration)
    calibration = read_calibration(self._path)
    self.output_dir = options.output_dir
    self.file_format = options.file_format
    self.num_workers = options.num_workers
    self.scenes_per_shard = options.scenes_per_shard
    self.num_frames = options.num_frames
    self.image_size = options.image_size
    self.class_names = calibration.class_names
    self.recordings = tuple(
      open_recording(
        entry,
        options.image_size,
        options.fit,
        options.span,
        options.pair_by,
      )
      for entry in calibration.recordings
    )
    self.num_views = len(self.recordings[0].cameras)
    # Of each split, the recording and the first frame of every clip.
    self._clips = {
      split: [
        (number, start)
        for number, recording in enumerate(self.recordings)
        if recording.entry.split == split
        for start in range(
          0, recording.num_frames - options.span + 1, options.step
        )
      ]
      for split in SPLITS
    }
    self._arguments = dataclasses.asdict(options) | {
      "calibration": self._path.name,
      "files": {
        name: _hash(path) for name, path in sorted(self._files().items())
      },
    }
    if options.repeated_videos == "error":
      self._check_videos_differ()
    incidental = ["output_dir", "num_workers", "repeated_videos"]
    if all(recording.is_by_count for recording in self.recordings):
      incidental.append("pair_by")  # All make the same.
    for name in incidental:
      del self._arguments[name]
    self._backgrounds: collections.OrderedDict[int, np.ndarray] = (
      collections.OrderedDict()
    )

  def __getstate__(self):
    return self.__dict__ | {"_backgrounds": collections.OrderedDict()}

  @property
  def has_masks(self) -> bool:
    return all(
      camera.masks is not None
      for recording in self.recordings
      for camera in recording.cameras
    )

  def num_scenes(self, split: str) -> int:
    """Returns the number of scenes of a split."""
    return len(self._clips[split])

  def arguments(self) -> dict[str, Any]:
    """Returns what determines the records, as for JSON: flags and files."""
    return self._arguments

  def class_of_scene(self, split: str, index: int) -> int:
    """Returns the class of a scene."""
    return self.recordings[self._clips[split][index][0]].entry.label

  def make_scene(self, split: str, index: int) -> dict[str, Any]:
    """Decodes a scene.

    Returns:
      A value for each of `features.make_features(self)`. Shape and motion are
      -1; orientation, size and colour NaN; so is the trajectory where it is
      unknown.

    Raises:
      DataError: A video or a mask cannot be decoded.
    """
    number, start = self._clips[split][index]
    recording = self.recordings[number]
    numbers = start + np.arange(self.num_frames) * self._options.frame_stride
    return recording.clip(numbers) | {
      schema.SHAPE: schema.UNKNOWN,
      schema.MOTION: schema.UNKNOWN,
      schema.CLASS: recording.entry.label,
      schema.SCENE_ID: schema.scene_id(split, index),
      schema.SEED: self.seed,
      schema.ORIENTATION: np.full((self.num_frames, 4), np.nan),
      schema.SIZE: np.nan,
      schema.COLOR: np.full(3, np.nan),
      schema.BACKGROUND_FRAMES: self._background(number, recording),
      schema.CAPTION: recording.entry.caption,
    }

  def _background(self, number: int, recording: Recording) -> np.ndarray:
    if number not in self._backgrounds:
      self._backgrounds[number] = recording.backgrounds()
      if len(self._backgrounds) > _NUM_BACKGROUNDS_KEPT:
        self._backgrounds.popitem(last=False)
    return self._backgrounds[number]

  def notes(self) -> Iterator[str]:
    """Yields what the user should know before the work starts."""
    total = {split: self.num_scenes(split) for split in SPLITS}
    counts = ", ".join(f"{count} {split}" for split, count in total.items())
    yield (
      f"{len(self.recordings)} recordings of {self.num_views} cameras make "
      f"{sum(total.values())} scenes: {counts}."
    )
    lacking = [
      camera.entry.field.name
      for recording in self.recordings
      for camera in recording.cameras
      if camera.masks is None
    ]
    if lacking:
      yield (
        f"Note: {len(lacking)} cameras have no masks, {lacking[0]} for one. "
        "Their masks are all zero: foreground weights and foreground scores "
        "have no meaning there."
      )
    recordings = self.recordings
    yield from _some(note for r in recordings for note in r.pairing.notes)
    yield from _some(
      note for r in recordings for c in r.cameras for note in c.mask_notes()
    )
    yield from _some(
      note
      for r in recordings
      for note in calibration_checks.notes([c.view for c in r.cameras], r.track)
    )

  def _check_videos_differ(self) -> None:
    """A clip in two splits would make tests of what was trained on."""
    hashes = self._arguments["files"]
    names = {path: name for name, path in self._files().items()}
    places: dict[str, tuple[str, CameraEntry]] = {}
    for recording in self.recordings:
      for camera in recording.cameras:
        entry, split = camera.entry, recording.entry.split
        key = hashes[names[entry.video]]
        other_split, other = places.setdefault(key, (split, entry))
        if other_split != split:
          raise entry.field.error(
            f"has the same video as {other.field.name}: {entry.video}, of "
            f"{split}, and {other.video}, of {other_split}, have the same "
            "content, so that what is tested would have been trained on. Take "
            "one recording away, or give --repeated_videos=allow."
          )

  def _files(self) -> dict[str, pathlib.Path]:
    """Returns all files by their names: relative to the JSON's folder."""
    paths = [self._path]
    for recording in self.recordings:
      paths += filter(None, [recording.entry.track_path])
      for camera in recording.cameras:
        paths += filter(None, [camera.entry.video, camera.entry.masks])
    folder = self._path.parent
    return {
      (
        path.relative_to(folder) if path.is_relative_to(folder) else path
      ).as_posix(): path
      for path in paths
    }


def _some(notes: Iterator[str]) -> Iterator[str]:
  """Yields the first of many notes of a kind, and how many more there are."""
  given = list(notes)
  yield from given[:_MOST_NOTES]
  if len(given) > _MOST_NOTES:
    yield f"Note: {len(given) - _MOST_NOTES} more of this kind."


def _hash(path: pathlib.Path) -> str:
  """Returns the SHA-256 of a file, or of a folder's names and masks."""
  if not path.is_dir():
    return shards.sha256(path)
  total = hashlib.sha256()
  for file in sorted(mask_files.mask_paths(path)):
    total.update(os.fsencode(file.name))
    total.update(f" {shards.sha256(file)}\n".encode())
  return total.hexdigest()
