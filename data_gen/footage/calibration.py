"""Reads the JSON that describes calibrated footage: docs/footage.md.

Only the JSON itself and the tracks are read here; videos and masks are opened
in `data_gen.footage.recordings`.
"""

import dataclasses
import pathlib
from collections import Counter

import numpy as np

from data_gen.files.json_fields import JsonField, read_json
from data_gen.footage import tracks

SPLITS = ("train", "validation", "test")
UNNAMED_CLASS = "footage"  # The only class, where none are named.
_ROTATION_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class CameraEntry:
  """One camera of a recording.

  Attributes:
    field: Its place in the JSON.
    video, masks: Files; masks may be a folder, or None.
    intrinsics: (3, 3), pixels of the video.
    camera_from_world: (3, 4), metres.
    first_frame: Of the video, that is at the same time as the other cameras'.
    image_size: Width and height of the images calibrated with, or None.
  """

  field: JsonField
  video: pathlib.Path
  masks: pathlib.Path | None
  intrinsics: np.ndarray
  camera_from_world: np.ndarray
  first_frame: int
  image_size: tuple[int, int] | None


@dataclasses.dataclass(frozen=True)
class RecordingEntry:
  """What several cameras filmed at once.

  Attributes:
    field: Its place in the JSON.
    split: One of SPLITS.
    label: Number of its class.
    caption: In words.
    cameras: V of them.
    track: float32 (n, 3), metres, NaN where unknown; or None.
    track_path: The file that it is from, or None.
  """

  field: JsonField
  name: str
  split: str
  label: int
  caption: str
  cameras: tuple[CameraEntry, ...]
  track: np.ndarray | None
  track_path: pathlib.Path | None


@dataclasses.dataclass(frozen=True)
class Calibration:
  """The content of a JSON file."""

  class_names: tuple[str, ...]
  recordings: tuple[RecordingEntry, ...]


def read_calibration(path: pathlib.Path) -> Calibration:
  """Reads and checks a JSON file.

  Raises:
    DataError: It cannot be read, or a field is wrong; the message names it.
  """
  fields = read_json(path).fields(["recordings"], ["class_names"])
  entries = fields["recordings"].entries()
  class_names = _read_class_names(fields.get("class_names"), entries)
  recordings = tuple(_read_recording(e, class_names) for e in entries)
  counts = Counter(recording.name for recording in recordings)
  for recording in recordings:
    if counts[recording.name] > 1:
      raise recording.field.error(
        f"is called {recording.name!r}, as another recording is. Give each a "
        "name of its own."
      )
  _check_num_cameras(recordings)
  _check_videos_differ(recordings)
  return Calibration(class_names, recordings)


def _read_class_names(
  field: JsonField | None, recordings: list[JsonField]
) -> tuple[str, ...]:
  """Returns the names given, or those that the recordings have, sorted."""
  if field is not None:
    names = tuple(entry.text() for entry in field.entries())
    if len(set(names)) < len(names):
      raise field.error("names a class twice.")
    return names
  found = {
    recording.value["class"]
    for recording in recordings
    if isinstance(recording.value, dict)
    and isinstance(recording.value.get("class"), str)
  }
  return tuple(sorted(found)) or (UNNAMED_CLASS,)


def _read_recording(
  field: JsonField, class_names: tuple[str, ...]
) -> RecordingEntry:
  fields = field.fields(
    ["name", "split", "cameras"], ["class", "caption", "track"]
  )
  name = fields["name"].text()
  label = 0
  if "class" in fields:
    if isinstance(fields["class"].value, str):
      fields["class"].text()  # Its letters can be written.
    label = class_names.index(fields["class"].choice(class_names))
  elif class_names != (UNNAMED_CLASS,):
    raise field.error(
      f"lacks the field 'class', one of {', '.join(class_names)}: give it to "
      "all recordings or to none."
    )
  track, track_path = None, None
  if "track" in fields:
    track, track_path = tracks.read_track(fields["track"])
  return RecordingEntry(
    field=field,
    name=name,
    split=fields["split"].choice(SPLITS),
    label=label,
    caption=fields["caption"].text() if "caption" in fields else name,
    cameras=tuple(map(_read_camera, fields["cameras"].entries())),
    track=track,
    track_path=track_path,
  )


def _read_camera(field: JsonField) -> CameraEntry:
  fields = field.fields(
    ["video", "intrinsics", "camera_from_world"],
    ["masks", "first_frame", "image_size", "distortion"],
  )
  if "distortion" in fields and fields["distortion"].array((None,)).any():
    raise fields["distortion"].error(
      "is not 0: records have no lens distortion. Undistort the videos first "
      "(such as with cv2.undistort), give the intrinsics of the undistorted "
      "images, and leave this field out."
    )
  size = None
  if "image_size" in fields:
    size = tuple(e.whole_number(1) for e in fields["image_size"].entries())
    if len(size) != 2:
      raise fields["image_size"].error("must be [width, height], in pixels.")
  start = fields.get("first_frame")
  return CameraEntry(
    field=field,
    video=fields["video"].file(),
    masks=fields["masks"].file() if "masks" in fields else None,
    intrinsics=_read_intrinsics(fields["intrinsics"]),
    camera_from_world=_read_pose(fields["camera_from_world"]),
    first_frame=start.whole_number(0) if start else 0,
    image_size=size,
  )


def _read_intrinsics(field: JsonField) -> np.ndarray:
  matrix = field.array((3, 3))
  has_form = matrix[1, 0] == 0 and np.array_equal(matrix[2], [0, 0, 1])
  if not has_form or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
    raise field.error(
      "is no camera matrix: it must be [[fx, skew, cx], [0, fy, cy], "
      "[0, 0, 1]] with fx and fy above 0, in pixels."
    )
  return matrix


def _read_pose(field: JsonField) -> np.ndarray:
  matrix = field.array((3, 4))
  rotation = matrix[:, :3]
  error = np.abs(rotation @ rotation.T - np.eye(3)).max()
  if error > _ROTATION_TOLERANCE:
    raise field.error(
      f"is no pose: its first three columns R are no rotation (R R^T is off "
      f"the identity by {error:.2g}). A point p in the world is R p + t for "
      "the camera."
    )
  if np.linalg.det(rotation) < 0:
    raise field.error(
      "is no pose: its first three columns mirror space (their determinant is "
      "-1). Cameras are as in OpenCV: x right, y down, z forward."
    )
  return matrix


def _check_num_cameras(recordings: tuple[RecordingEntry, ...]) -> None:
  expected = len(recordings[0].cameras)
  for recording in recordings:
    if len(recording.cameras) != expected:
      raise recording.field.error(
        f"has {len(recording.cameras)} cameras, and recordings[0] has "
        f"{expected}: all must have as many."
      )


def _check_videos_differ(recordings: tuple[RecordingEntry, ...]) -> None:
  """A clip in two splits would make tests of what was trained on."""
  places: dict[pathlib.Path, str] = {}
  for recording in recordings:
    for camera in recording.cameras:
      path = camera.video.resolve()
      if path in places:
        raise camera.field.error(
          f"has the video of {places[path]}, {camera.video}: each may be there "
          "once."
        )
      places[path] = camera.field.name
