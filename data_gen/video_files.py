"""Frames of video files, by PyAV (the extra `video`).

The frames of a file are numbered in the order in which they are shown, by the
time stamps of its packets. Reading some of them decodes from the key frame
before the first to the last.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_gen.errors import DataError

SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")
# Headers and time stamps of whole files may be a little wrong: packets of
# frames that are never shown, or frames that an encoder left out.
_MIN_SHARE_OF_HEADER = 0.95
_MIN_SHARE_OF_CLIP = 0.75


def count_frames(path: pathlib.Path) -> int:
  """Returns how many frames a file says that it has, or counts its packets.

  Raises:
    DataError: The file cannot be read as a video.
  """
  with _opened(path) as (container, stream):
    return stream.frames or sum(1 for _ in _packets(container, stream))


class VideoFile:
  """A video file that gives frames by their numbers."""

  def __init__(self, path: pathlib.Path, label: int):
    """Reads the time stamps of a file.

    Raises:
      DataError: The file cannot be read as a video, or is cut off.
    """
    self.name = str(path)
    self.label = label
    self._path = path
    with _opened(path) as (container, stream):
      found = [
        (packet.pts, packet.is_keyframe)
        for packet in _packets(container, stream)
      ]
      said = stream.frames
    if len(found) < said * _MIN_SHARE_OF_HEADER:
      raise DataError(
        f"{path} is cut off or damaged: it has {len(found)} of the {said} "
        f"frames that its header names. {_ADVICE}"
      )
    # Without time stamps, frames are counted from the start.
    self._times = np.arange(len(found))
    self._key_times = np.zeros(0, np.int64)
    self._has_times = all(time is not None for time, _ in found)
    if self._has_times:
      self._times = np.unique(np.array([time for time, _ in found], np.int64))
      self._key_times = np.sort([time for time, is_key in found if is_key])
    self.num_frames = len(self._times)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB images, the right way up.

    Args:
      numbers: Which, (n,), increasing, in [0, num_frames).

    Raises:
      DataError: The frames cannot be decoded.
    """
    wanted = self._times[numbers]
    earlier = self._key_times[self._key_times <= wanted[0]]
    chosen = None
    if len(earlier) > 1:
      chosen = self._decode(wanted, start=int(earlier[-1]))
    if chosen is None:  # The first key frame, or one that cannot be found.
      chosen = self._decode(wanted, start=None)
    if chosen is None:
      raise DataError(
        f"{self._path} is cut off or damaged: frames {numbers[0]} to "
        f"{numbers[-1]} of {self.num_frames} cannot be decoded. {_ADVICE}"
      )
    for frame in chosen:
      image = frame.to_image()
      turns = round(frame.rotation / 90)
      yield image.rotate(90 * turns, expand=True) if turns else image

  def _decode(self, wanted: np.ndarray, start: int | None) -> list[Any] | None:
    """Returns what is shown at the wanted times, or None if that is not there.

    Args:
      wanted: Times (n,), increasing.
      start: Time of the key frame to decode from; None: the file's first.
    """
    chosen, num_exact = {}, 0
    with _opened(self._path) as (container, stream):
      if start is not None:
        container.seek(start, stream=stream)
      for number, frame in enumerate(container.decode(stream)):
        time = frame.pts if self._has_times else number
        if time is None or (not chosen and time > wanted[0]):
          return None
        # Until a later one comes, it is the frame of the next wanted time.
        chosen[int(np.searchsorted(wanted, time))] = frame
        num_exact += time in wanted
        if time >= wanted[-1]:
          break
    if num_exact < _MIN_SHARE_OF_CLIP * len(wanted):
      return None
    frames = []
    for i in range(len(wanted)):
      frames.append(chosen[i] if i in chosen else frames[-1])
    return frames


_ADVICE = "Take the file away, or put a whole one in its place."


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[tuple[Any, Any]]:
  """Opens a file and its first video stream; errors name the file."""
  av = import_av()
  try:
    with av.open(str(path)) as container:
      if not container.streams.video:
        raise DataError(f"{path} has no video in it. {_ADVICE}")
      stream = container.streams.video[0]
      if stream.codec_context is None:
        raise DataError(
          f"{path} is cut off or damaged, or its codec is unknown. {_ADVICE}"
        )
      # Grain's threads read several files at once.
      stream.codec_context.thread_count = 1
      yield container, stream
  except av.FFmpegError as error:
    raise DataError(
      f"{path} cannot be read as a video ({error.strerror}). {_ADVICE}"
    ) from error


def _packets(container, stream) -> Iterator[Any]:
  """Yields the packets that hold frames to be shown."""
  for packet in container.demux(stream):
    if packet.size and not packet.is_discard:
      yield packet


def import_av():
  """Returns PyAV, which only video files need.

  Raises:
    DataError: It is not installed.
  """
  try:
    import av
  except ImportError as error:
    raise DataError(
      "Reading video files needs PyAV, which is not installed: "
      "pip install -e '.[video]', or pip install av."
    ) from error
  return av
