"""Clips in a folder: video files, animated pictures, and folders of frames.

  DIR/a.mp4        a video
  DIR/b.gif        an animated picture (also .webp)
  DIR/c/1.png      a folder of frames, in the order of their numbers
  DIR/class/d.mp4  folders of clips may be nested

A clip's name is its path in DIR without suffix: clips of two folders belong
together by name.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import video_files
from data_gen.files.folder_contents import visible_children, walk
from magvit3d.data.videos import damaged_videos, image_folder, labelled_files
from magvit3d.data.videos.video_clips import Framing, Video, VideoClips
from magvit3d.media.animated_picture import SUFFIXES as ANIMATION_SUFFIXES
from magvit3d.media.animated_picture import AnimatedPicture

_SUFFIXES = (*video_files.SUFFIXES, *ANIMATION_SUFFIXES)


class ClipFolder:
  """One clip of each video of a folder, from its middle, in memory on demand.

  Attributes:
    names: Of the clips, in alphabetical order.
    lengths: Frames of each whole video.
    framing: How clips are cut.
    fingerprint: SHA-256 of the files' names and sizes, in hexadecimal.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    flag: str,
    *,
    num_frames: int,
    frame_stride: int = 1,
    image_size: int | None = None,
  ):
    """Finds the videos, and opens each to see how long and large it is.

    Args:
      folder: Where they are.
      flag: What the user calls the folder.
      num_frames: Of a clip.
      frame_stride: 2 takes every second frame.
      image_size: Clips' height and width, pixels; None: the shorter side of
        the videos, which must then be the same in all.

    Raises:
      DataError: There are none, some are damaged, too short or of different
        sizes, or two have the same name.
    """
    found = _find(folder, flag)
    self.names = tuple(found)
    self.fingerprint = _fingerprint(folder, found.values())
    opened, texts = damaged_videos.open_all(list(found.values()), _open)
    if texts:
      text = damaged_videos.describe(texts, len(opened), f"{flag}={folder}")
      raise DataError(f"{text} {video_files.ADVICE}")
    videos = [video for video in opened if video is not None]
    self.lengths = tuple(video.num_frames for video in videos)
    framing = Framing(num_frames, image_size or 1, frame_stride)
    self._check_lengths(flag, framing)
    if image_size is None:
      size = _common_size(videos, flag)
      framing = dataclasses.replace(framing, image_size=size)
      videos = [_with_side(video, size) for video in videos]
    self.framing = framing
    self._clips = VideoClips(_Opened(videos, self.fingerprint), framing)

  def __len__(self) -> int:
    return len(self.names)

  def __getitem__(self, rows: slice) -> UInt8[np.ndarray, "n t h w 3"]:
    """Reads some clips."""
    numbers = range(len(self))[rows]
    return np.stack([self._clips[i]["frames"] for i in numbers])

  def _check_lengths(self, flag: str, framing: Framing) -> None:
    short = [n for n in self.lengths if n < framing.span]
    if not short:
      return
    first = self.names[self.lengths.index(short[0])]
    raise DataError(
      f"{flag}: {first} has {short[0]} frames, but a clip of "
      f"--num_frames={framing.num_frames} with "
      f"--frame_stride={framing.frame_stride} spans {framing.span}; "
      f"{len(short)} of {len(self)} videos are too short. Lower one of these "
      "flags, or take the videos away."
    )


@dataclasses.dataclass(frozen=True)
class FrameFolder:
  """A folder of pictures as a video; see `video_clips.Video`.

  Attributes:
    paths: Of the frames, in their order.
    side: Pixels that the shorter side of each must have; None: any.
  """

  paths: tuple[pathlib.Path, ...]
  label: int = 0
  side: int | None = None

  @property
  def name(self) -> str:
    """The folder, for messages."""
    return str(self.paths[0].parent)

  @property
  def num_frames(self) -> int:
    """Number of pictures."""
    return len(self.paths)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB; see `video_clips.Video`.

    Raises:
      DataError: A file is damaged, or has another size.
    """
    for number in numbers:
      path = self.paths[number]
      for frame in image_folder.ImageFile(path, 0).frames(np.zeros(1, int)):
        if self.side not in (None, min(frame.size)):
          raise DataError(
            f"{path} has {min(frame.size)} pixels at its shorter side, other "
            f"frames {self.side}. Give --image_size, to which the largest "
            "square in the middle of all is then scaled."
          )
        yield frame


@dataclasses.dataclass(frozen=True)
class _Opened:
  """Videos that are open; see `video_clips.Videos`."""

  videos: list[Video]
  fingerprint: str
  class_names: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(self.videos)

  def open(self, index: int) -> Video:
    return self.videos[index]


def _find(folder: pathlib.Path, flag: str) -> dict[str, pathlib.Path]:
  """Returns files and folders of frames by the clips' names, sorted."""
  if not folder.is_dir():
    raise DataError(f"{flag}={folder} is no folder.")
  if _frames_of(folder):
    raise DataError(
      f"{flag}={folder} holds pictures: put them into one folder for each clip."
    )
  found: dict[str, pathlib.Path] = {}
  for path in _walk(folder, flag):
    name = path.relative_to(folder)
    text = (name if path.is_dir() else name.with_suffix("")).as_posix()
    if text in found:
      raise DataError(
        f"{flag}: {found[text]} and {path} would both be the clip {text!r}. "
        "Keep one of them."
      )
    found[text] = path
  if not found:
    raise DataError(
      f"{flag}={folder} has no clips: neither files named "
      f"*{', *'.join(_SUFFIXES)}, nor folders of frames "
      f"(*{', *'.join(image_folder.SUFFIXES)})."
    )
  return dict(sorted(found.items()))


def _walk(folder: pathlib.Path, flag: str) -> Iterator[pathlib.Path]:
  """Yields video files and folders of frames, also of nested folders."""
  folders_of_frames: list[pathlib.Path] = []
  for children in walk(folder):
    frames = [p for p in children if p.suffix.lower() in image_folder.SUFFIXES]
    clips = [
      p for p in children if p.suffix.lower() in _SUFFIXES and not p.is_dir()
    ]
    if frames:
      folders_of_frames.append(frames[0].parent)
      clips.append(frames[0].parent)
    for clip in clips:
      around = [f for f in folders_of_frames if f in clip.parents]
      if around:
        raise DataError(
          f"{flag}: {around[0]} holds both frames and clips ({clip.name}), so "
          "it is not clear what it is. Move one of them elsewhere."
        )
    yield from clips


def _frames_of(folder: pathlib.Path) -> list[pathlib.Path]:
  """Pictures of a folder, 2 before 10."""
  paths = [
    path
    for path in visible_children(folder)
    if path.suffix.lower() in image_folder.SUFFIXES
  ]
  return sorted(paths, key=_natural_key)


def _natural_key(path: pathlib.Path) -> tuple[list[tuple[int, str]], str]:
  parts = re.split(r"(\d+)", path.name)
  return (
    [(int(part) if part.isdecimal() else -1, part) for part in parts],
    path.name,
  )


def _open(path: pathlib.Path) -> Video:
  if path.is_dir():
    return FrameFolder(tuple(_frames_of(path)))
  if path.suffix.lower() in ANIMATION_SUFFIXES:
    return AnimatedPicture(path)
  return video_files.VideoFile(path, 0)


def _with_side(video: Video, side: int) -> Video:
  """Returns a video whose frames must be of a size, where they may differ."""
  if isinstance(video, FrameFolder):
    return dataclasses.replace(video, side=side)
  return video


def _common_size(videos: list[Video], flag: str) -> int:
  """Returns the shorter side of all videos, in pixels."""
  sizes: dict[int, str] = {}
  for video in videos:
    (frame,) = video.frames(np.zeros(1, int))
    sizes.setdefault(min(frame.size), video.name)
  if len(sizes) > 1:
    (size, name), (other_size, other) = list(sizes.items())[:2]
    raise DataError(
      f"{flag} has frames of different sizes: the shorter side has {size} "
      f"pixels in {name}, {other_size} in {other}. Give --image_size, to which "
      "the largest square in the middle of all is then scaled."
    )
  return next(iter(sizes))


def _fingerprint(folder: pathlib.Path, paths: Iterable[pathlib.Path]) -> str:
  files = [
    file
    for path in paths
    for file in (_frames_of(path) if path.is_dir() else [path])
  ]
  return labelled_files.fingerprint(
    [file.relative_to(folder).as_posix() for file in files],
    [file.stat().st_size for file in files],
  )
