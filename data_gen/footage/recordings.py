"""Opened recordings: clips, masks and backgrounds of several cameras.

Nothing is kept of the videos but where their frames are; a clip is decoded
camera by camera, so that memory holds the frames of one at a time.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from data_gen import schema
from data_gen.errors import DataError
from data_gen.files.video_files import VideoFile
from data_gen.footage import mask_files
from data_gen.footage.calibration import CameraEntry, RecordingEntry
from data_gen.footage.calibration_checks import View
from data_gen.footage.camera_times import (
  Clock,
  Pairing,
  is_by_count,
  pair_frames,
)
from data_gen.footage.mask_files import Masks
from data_gen.footage.squares import Square

_NUM_BACKGROUND_FRAMES = 64  # Of a recording, at most.
_NUM_DECODED_TOGETHER = 8  # Of those.
_MEDIAN_ROWS = 16  # Of the image, at a time.


@dataclasses.dataclass(frozen=True)
class Camera:
  """One camera of a recording: its files, opened.

  Attributes:
    shown: Numbers in the video of the recording's frames, (n,).
  """

  entry: CameraEntry
  video: VideoFile
  masks: Masks | None
  square: Square
  shown: np.ndarray

  @property
  def clock(self) -> Clock:
    """When its frames were taken."""
    return Clock(
      self.entry.field.name,
      str(self.entry.video),
      self.video.num_frames,
      self.video.times_s,
      self.entry.first_frame,
    )

  @property
  def view(self) -> View:
    """How it was calibrated."""
    return View(
      self.entry.field.name,
      self.entry.intrinsics,
      self.entry.camera_from_world,
      self.square.width,
      self.square.height,
    )

  def frames(self, numbers: np.ndarray) -> np.ndarray:
    """Returns frames as uint8 (n, S, S, 3); `numbers` (n,) increase."""
    numbers, places = np.unique(self.shown[numbers], return_inverse=True)
    size = (self.square.width, self.square.height)
    frames = []
    for image in self.video.frames(numbers):
      if image.size != size:
        raise self.entry.field.error(
          f"has frames of {image.size[0]} x {image.size[1]} pixels in "
          f"{self.entry.video}, whose first frame has {size[0]} x {size[1]}."
        )
      frames.append(self.square.frame(image))
    return np.stack(frames)[places]

  def read_masks(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two bool (n, S, S), see `Square.mask`; zeros without masks."""
    size = self.square.image_size
    if self.masks is None:
      nothing = np.zeros((len(numbers), size, size), bool)
      return nothing, nothing
    pairs = []
    numbers, places = np.unique(self.shown[numbers], return_inverse=True)
    for mask in self.masks.frames(numbers):
      if mask.shape != (self.square.height, self.square.width):
        raise self.entry.field.error(
          f"has masks of {mask.shape[1]} x {mask.shape[0]} pixels in "
          f"{self.entry.masks}, and a video of {self.square.width} x "
          f"{self.square.height}."
        )
      pairs.append(self.square.mask(mask))
    masks, touched = zip(*pairs, strict=True)
    return np.stack(masks)[places], np.stack(touched)[places]

  def mask_notes(self) -> Iterator[str]:
    """Yields what is odd about the masks."""
    share = None if self.masks is None else mask_files.all_alike(self.masks)
    if share is not None:
      yield (
        f"Note: the masks of {self.entry.field.name}, {self.entry.masks}, are "
        f"{share:.0%} object in every frame. Do they mark the object by "
        + (
          "very dark levels of a compressed video, or is it never seen?"
          if share == 0
          else "black on white, or have they a background that is not black?"
        )
        + " docs/footage.md says what counts as the object."
      )

  def background(self, num_frames: int) -> np.ndarray:
    """Returns the median of frames without the object, uint8 (S, S, 3).

    Args:
      num_frames: Of the recording; the median is of some, evenly spread.
    """
    count = min(num_frames, _NUM_BACKGROUND_FRAMES)
    numbers = np.arange(count) * num_frames // count
    size = self.square.image_size
    frames = np.empty((count, size, size, 3), np.uint8)
    is_hidden = np.empty((count, size, size), bool)
    for first in range(0, count, _NUM_DECODED_TOGETHER):
      part = slice(first, first + _NUM_DECODED_TOGETHER)
      frames[part] = self.frames(numbers[part])
      is_hidden[part] = self.read_masks(numbers[part])[1]
    rows = range(0, size, _MEDIAN_ROWS)
    return np.concatenate(
      [
        median_without(
          frames[:, row : row + _MEDIAN_ROWS],
          is_hidden[:, row : row + _MEDIAN_ROWS],
        )
        for row in rows
      ]
    )


@dataclasses.dataclass(frozen=True)
class Recording:
  """What several cameras filmed at once, opened.

  Attributes:
    num_frames: That all cameras have.
    pairing: Which those are.
    track: float32 (num_frames, 3), metres; NaN where unknown.
  """

  entry: RecordingEntry
  cameras: tuple[Camera, ...]
  num_frames: int
  pairing: Pairing
  track: np.ndarray

  @property
  def is_by_count(self) -> bool:
    """Whether frames of the same number are of the same time."""
    return is_by_count([c.clock for c in self.cameras], self.pairing)

  def clip(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Returns frames, masks, cameras and track; `numbers` (t,) increase."""
    frames = [camera.frames(numbers) for camera in self.cameras]
    masks = [camera.read_masks(numbers)[0] for camera in self.cameras]
    return {
      schema.FRAMES: np.stack(frames),
      schema.MASKS: np.stack(masks).astype(np.uint8),
      schema.INTRINSICS: np.stack(
        [c.square.intrinsics(c.entry.intrinsics) for c in self.cameras]
      ),
      schema.CAMERA_FROM_WORLD: np.stack(
        [camera.entry.camera_from_world for camera in self.cameras]
      ),
      schema.TRAJECTORY: self.track[numbers],
      schema.TRAJECTORY_CLEAN: self.track[numbers],
    }

  def backgrounds(self) -> np.ndarray:
    """Returns what is behind the object, uint8 (V, S, S, 3)."""
    return np.stack([c.background(self.num_frames) for c in self.cameras])


def open_recording(
  entry: RecordingEntry, image_size: int, fit: str, span: int, pair_by: str
) -> Recording:
  """Opens the files of a recording, and checks that they fit each other.

  Args:
    entry: From the JSON.
    image_size: Height and width of the frames to make, pixels.
    fit: One of `squares.FITS`.
    span: Frames from a clip's first to its last.
    pair_by: One of `camera_times.PAIRINGS`.

  Raises:
    DataError: A file cannot be read, is too short, or does not fit; the
      message names the field.
  """
  cameras = [_open_camera(camera, image_size, fit) for camera in entry.cameras]
  clocks = [camera.clock for camera in cameras]
  counts = [clock.num_from_first for clock in clocks]
  for camera, count in zip(cameras, counts, strict=True):
    if count < span:
      raise camera.entry.field.error(
        f"is too short: {camera.entry.video} has {max(count, 0)} frames from "
        f"first_frame={camera.entry.first_frame} on, and a clip spans {span} "
        "(--num_frames, --frame_stride)."
      )
  try:
    pairing = pair_frames(clocks, pair_by)
  except DataError as error:
    raise entry.field.error(f"cannot be paired: {error}") from error
  num_frames = len(pairing.frames[0])
  if num_frames < span:
    raise entry.field.error(
      f"is too short: its cameras have {num_frames} frames at the same times, "
      f"and a clip spans {span} (--num_frames, --frame_stride)."
    )
  cameras = [
    dataclasses.replace(camera, shown=shown)
    for camera, shown in zip(cameras, pairing.frames, strict=True)
  ]
  track = np.full((num_frames, 3), np.nan, np.float32)
  if entry.track is not None:
    most = max(pairing.most_rows, num_frames)
    if not num_frames <= len(entry.track) <= most:
      raise entry.field.error(
        f"has a track of {len(entry.track)} rows, but its videos have "
        f"{num_frames} frames"
        + (f" to {most}" if most > num_frames else "")
        + " from their first_frame on: give one row a frame."
      )
    track = entry.track[:num_frames]
  return Recording(entry, tuple(cameras), num_frames, pairing, track)


def _open_camera(entry: CameraEntry, image_size: int, fit: str) -> Camera:
  field = entry.field
  try:
    video = VideoFile(entry.video, label=0)
    width, height = next(video.frames(np.array([0]))).size
  except DataError as error:
    raise field.error(f"has a video that cannot be used: {error}") from error
  if entry.image_size not in (None, (width, height)):
    raise field.error(
      f"was calibrated with images of {entry.image_size[0]} x "
      f"{entry.image_size[1]} pixels (image_size), but {entry.video} has "
      f"{width} x {height}: give the intrinsics of the latter."
    )
  centre = entry.intrinsics[:2, 2]
  if not ((centre >= -0.5) & (centre <= np.array([width, height]) - 0.5)).all():
    raise field.error(
      f"has its principal point (cx, cy) at ({centre[0]:g}, {centre[1]:g}) in "
      f"intrinsics, outside the {width} x {height} pixels of {entry.video}: "
      "give the intrinsics of the video's own size."
    )
  masks = None
  if entry.masks is not None:
    masks = _open_masks(entry, video.num_frames)
  square = Square(width, height, image_size, fit)
  numbers = np.arange(video.num_frames)
  camera = Camera(entry, video, masks, square, numbers)
  if masks is not None:
    camera.read_masks(numbers[:1])  # Checks their size.
  return camera


def _open_masks(entry: CameraEntry, num_frames: int) -> Masks:
  try:
    masks = mask_files.open_masks(entry.masks)
  except DataError as error:
    raise entry.field.error(
      f"has masks that cannot be used: {error}"
    ) from error
  if masks.num_frames != num_frames:
    raise entry.field.error(
      f"has {masks.num_frames} masks in {entry.masks}, and {num_frames} frames "
      f"in {entry.video}: give one mask a frame."
    )
  return masks


def median_without(frames: np.ndarray, is_hidden: np.ndarray) -> np.ndarray:
  """Returns the median over time of what is not hidden.

  Where it is hidden in every frame, the median of all stands for it.

  Args:
    frames: uint8 (n, h, w, 3).
    is_hidden: bool (n, h, w).

  Returns:
    uint8 (h, w, 3); the mean of two middle values is rounded.
  """
  is_hidden = is_hidden & ~is_hidden.all(axis=0)
  values = np.where(is_hidden[..., None], np.int16(256), frames)
  values = np.sort(values, axis=0)  # What is hidden comes last.
  count = np.sum(~is_hidden, axis=0)[None, ..., None]
  low = np.take_along_axis(values, (count - 1) // 2, axis=0)[0]
  high = np.take_along_axis(values, count // 2, axis=0)[0]
  return np.rint((low + high) / 2).astype(np.uint8)
