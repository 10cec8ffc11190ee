"""Clips of a fixed size, cut from videos of any length and size.

Of a video, `num_frames` frames, `frame_stride` apart, are kept; of each frame
the largest square, scaled to `image_size` by Pillow's bilinear filter, which
averages over the pixels where it shrinks. Frames that fit stay as they are.

Evaluation takes the middle square of a fixed window; training a random window,
and a random square and mirror image where asked. What is random comes from the
generator that the pipeline gives, so that a resumed run sees the same clips.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import numpy as np
from PIL import Image, ImageOps

from data_gen.errors import DataError


@runtime_checkable
class Video(Protocol):
  """One video.

  Attributes:
    name: For messages: file or record.
    label: The class, 0 if there are none.
    num_frames: Frames there are.
  """

  name: str
  label: int
  num_frames: int

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB; `numbers` (n,) increase, in [0, num_frames)."""


@runtime_checkable
class Videos(Protocol):
  """Videos by number; safe to share between threads.

  Attributes:
    class_names: Names by label; empty if there are no classes.
    fingerprint: SHA-256 of the files' names and sizes.
  """

  class_names: tuple[str, ...]
  fingerprint: str

  def __len__(self) -> int: ...

  def open(self, index: int) -> Video: ...


@dataclasses.dataclass(frozen=True)
class Framing:
  """How clips are cut from videos.

  Attributes:
    num_frames: Frames of a clip.
    image_size: Height and width of a clip's frames, pixels.
    frame_stride: 2 takes every second frame.
    random_crop: Training takes a random square; otherwise the middle one.
    flip: Training mirrors half of the clips, left to right.
    loop_short_videos: Videos with too few frames start again at their end;
      otherwise they are an error.
    evaluation_position: Where evaluation takes its window: 0 is the first that
      fits, 0.5 the middle one.
  """

  num_frames: int
  image_size: int
  frame_stride: int = 1
  random_crop: bool = False
  flip: bool = False
  loop_short_videos: bool = False
  evaluation_position: float = 0.5

  @property
  def span(self) -> int:
    """Frames of the video from a clip's first to its last."""
    return (self.num_frames - 1) * self.frame_stride + 1


@dataclasses.dataclass(frozen=True)
class VideoClips:
  """One clip of each video, always the same: a random-access source."""

  videos: Videos
  framing: Framing

  def __len__(self) -> int:
    return len(self.videos)

  def __repr__(self) -> str:
    # Without folders, which move, and addresses, which change.
    return (
      f"{type(self).__name__}({len(self)} videos, {self.fingerprint}, "
      f"{self.framing})"
    )

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names by label; empty if the videos have no classes."""
    return self.videos.class_names

  @property
  def fingerprint(self) -> str:
    """SHA-256 of the files' names and sizes, in hexadecimal."""
    return self.videos.fingerprint

  def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
    """Returns the clip for evaluation, with the keys of `ClipSource`.

    Returns:
      frames: uint8 (t, h, w, 3). labels: int32, the class, 0 if there is none.
      masks: uint8 (t, h, w) and background: float32 (1, 1, 3), both zeros:
        nothing is known of them.
    """
    return self._cut(index, self.framing.evaluation_position, 0.5, False)

  def _cut(
    self, index: SupportsIndex, start: float, crop: float, is_flipped: bool
  ) -> dict[str, Any]:
    """Returns a clip; start and crop are positions in [0, 1)."""
    video = self.videos.open(int(index))
    numbers, places = np.unique(
      self._frame_numbers(video, start), return_inverse=True
    )
    size = self.framing.image_size
    images = [_square(frame, size, crop) for frame in video.frames(numbers)]
    if is_flipped:
      images = [ImageOps.mirror(image) for image in images]
    frames = np.stack([np.asarray(image) for image in images])[places]
    return {
      "frames": frames,
      "masks": np.zeros(frames.shape[:3], np.uint8),
      "labels": np.int32(video.label),
      "background": np.zeros((1, 1, 3), np.float32),
    }

  def _frame_numbers(self, video: Video, position: float) -> np.ndarray:
    framing = self.framing
    numbers = np.arange(framing.num_frames) * framing.frame_stride
    if video.num_frames >= framing.span:
      return numbers + _place(video.num_frames - framing.span, position)
    if framing.loop_short_videos and video.num_frames:
      return numbers % video.num_frames
    raise DataError(
      f"{video.name} has {video.num_frames} frames, but a clip of "
      f"num_frames={framing.num_frames} with frame_stride="
      f"{framing.frame_stride} spans {framing.span}. Lower one of them, take "
      "the video away, or set dataset_configs.short_videos='loop'."
    )


class TrainingClips(VideoClips):
  """Clips for training: `make_batches` takes random ones."""

  def random_clip(
    self, index: SupportsIndex, rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns a clip of video `index` as chosen by `rng`."""
    start, crop, flip = rng.random(3)  # The same draws whatever is asked for.
    return self._cut(
      index,
      start,
      crop if self.framing.random_crop else 0.5,
      self.framing.flip and bool(flip < 0.5),
    )


def _place(slack: int, position: float) -> int:
  """Returns an offset in [0, slack], the middle one (or next) for 0.5."""
  return int(position * (slack + 1))


def _square(image: Image.Image, size: int, position: float) -> Image.Image:
  """Returns the largest square of an image, size x size pixels."""
  side = min(image.size)
  left, top = (_place(length - side, position) for length in image.size)
  box = (left, top, left + side, top + side)
  return image.resize((size, size), Image.Resampling.BILINEAR, box)
