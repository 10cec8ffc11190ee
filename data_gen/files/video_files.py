"""Frames of video files, by PyAV (the extra `video`).

The frames of a file are numbered in the order in which they are shown, by the
time stamps of its packets: those that players show, not those that the header
counts. What an edit list hides (of a video that was trimmed without encoding it
anew) and what comes before the first key frame is none of them. Reading some of
them decodes from the key frame before the first to the last.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import pictures, plain_files
from data_gen.files.rgb_images import to_rgb

SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")
# Headers and time stamps of whole files may be a little wrong: packets of
# frames that are never shown, or frames that an encoder left out.
_MIN_SHARE_OF_HEADER = 0.95
_MIN_SHARE_OF_CLIP = 0.75


# Containers whose index names every frame, when it is whole.
_INDEXED = {"avi", "mov"}
# What a file may be, whatever its name: nothing that names other files or
# addresses to read, such as playlists.
_KINDS = (
  "asf,avi,flv,gif,h264,hevc,image2,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,"
  "mpegts,mpegvideo,ogg,png_pipe,jpeg_pipe,webm,webp_pipe,wmv"
)
_LIMITS = {"protocol_whitelist": "file", "format_whitelist": _KINDS}
_PICTURE_CODECS = ("bmp", "mjpeg", "png", "webp")


def count_frames(path: pathlib.Path) -> int:
  """Returns how many frames a file shows.

  They are counted in its index where that is whole, else in its packets.

  Raises:
    DataError: The file cannot be read as a video, or is cut off.
  """
  with _opened(path) as (container, stream):
    packets = _indexed_packets(path, container, stream)
  if packets is None:
    packets = _read_packets(path)
  return len(_shown_times(path, packets))


class VideoFile:
  """A video file that gives frames by their numbers.

  Attributes:
    name: The path, for messages.
    label: The class.
    num_frames: Frames that are shown.
    times_s: When, seconds from the first on, (num_frames,); None where neither
      time stamps nor a rate tell.
    is_lossless: Whether its codec never loses anything, as of FFV1.
  """

  def __init__(self, path: pathlib.Path, label: int):
    """Reads the time stamps of a file.

    Raises:
      DataError: The file cannot be read as a video, or is cut off.
    """
    self.name = str(path)
    self.label = label
    self._path = path
    packets = _read_packets(path)
    with _opened(path) as (_, stream):
      codec = stream.codec_context.codec
      self.is_lossless = codec.lossless and not codec.lossy
      rate = stream.average_rate or stream.guessed_rate
      time_base = stream.time_base
    # Without time stamps, frames are counted from the start.
    self._times = _shown_times(path, packets)
    self._key_times = np.zeros(0, np.int64)
    self._has_times = _have_times(packets)
    if self._has_times:
      keys = [packet.time for packet in packets if packet.is_key]
      self._key_times = np.sort(np.array(keys, np.int64))
    self.num_frames = len(self._times)
    unit = time_base if self._has_times else rate and 1 / rate
    self.times_s = None
    if unit:
      self.times_s = (self._times - self._times[0]) * float(unit)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB (`rgb_images.to_rgb`), the right way up.

    Args:
      numbers: Which, (n,), increasing, in [0, num_frames).

    Raises:
      DataError: The frames cannot be decoded.
    """
    yield from map(to_rgb, self.images(numbers))

  def images(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields the same as RGB, or as RGBA where the file has transparency."""
    if not len(numbers):
      return
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
        f"{numbers[-1]} of {self.num_frames} cannot be decoded. {ADVICE}"
      )
    for frame in chosen:
      with _explaining(self._path):
        image = _upright(frame)
      yield image

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


def _upright(frame: Any) -> Image.Image:
  is_opaque = not any(c.is_alpha for c in frame.format.components)
  if is_opaque and frame.format.name != "pal8":
    image = frame.to_image()
  else:
    image = Image.fromarray(frame.to_ndarray(format="rgba"))
  turns = round(frame.rotation / 90)
  return image.rotate(90 * turns, expand=True) if turns else image


ADVICE = "Take the file away, or put a whole one in its place."


@dataclasses.dataclass(frozen=True)
class _Packet:
  """What a file says of a frame before it is decoded.

  Attributes:
    time: When it is shown, in the stream's units, or None.
    is_key: Whether it is decoded without others.
    is_shown: Whether no edit list hides it.
  """

  time: int | None
  is_key: bool
  is_shown: bool


def _read_packets(path: pathlib.Path) -> list[_Packet]:
  """Returns the packets of a file, in the order of decoding.

  Raises:
    DataError: They are fewer than the header says.
  """
  with _opened(path) as (container, stream):
    packets = [
      _Packet(packet.pts, packet.is_keyframe, not packet.is_discard)
      for packet in container.demux(stream)
      if packet.size
    ]
    said, number = stream.frames, stream.index
  found = len(packets)
  if found < said * _MIN_SHARE_OF_HEADER:
    # What an edit list hides may be passed over, but it is in the file.
    with _opened(path, ignore_editlist="1") as (container, _):
      stream = container.streams[number]
      found = sum(packet.size > 0 for packet in container.demux(stream))
  if found < said * _MIN_SHARE_OF_HEADER:
    raise DataError(
      f"{path} is cut off or damaged: it has {found} of the {said} "
      f"frames that its header names. {ADVICE}"
    )
  return packets


def _indexed_packets(path, container, stream) -> list[_Packet] | None:
  """Returns what the index of a file says, or None if it is not whole.

  The times are those of decoding, which are in the same order where it counts:
  before or after a key frame.
  """
  kinds = set(container.format.name.split(","))
  entries = [
    entry for entry in getattr(stream, "index_entries", ()) if entry.size
  ]
  if not kinds & _INDEXED or not entries or len(entries) != stream.frames:
    return None
  if max(entry.pos + entry.size for entry in entries) > path.stat().st_size:
    return None
  return [
    _Packet(None, entry.is_keyframe, not entry.is_discard) for entry in entries
  ]


def _have_times(packets: list[_Packet]) -> bool:
  return all(packet.time is not None for packet in packets)


def _shown_times(path: pathlib.Path, packets: list[_Packet]) -> np.ndarray:
  """Returns the times of the frames that are shown, in order, int64 (n,).

  Without time stamps they are numbers from 0. Frames that are decoded, or
  shown, before the first key frame lack those that they hang on.

  Raises:
    DataError: There are none.
  """
  first = next((i for i, p in enumerate(packets) if p.is_key), 0)
  packets = packets[first:]
  shown = [packet for packet in packets if packet.is_shown]
  times = np.arange(len(shown))
  if _have_times(packets):
    times = np.unique(np.array([packet.time for packet in shown], np.int64))
    times = times[times >= packets[0].time] if packets else times
  if not len(times):
    raise DataError(f"{path} has no frame that can be shown. {ADVICE}")
  return times


@contextlib.contextmanager
def _opened(path: pathlib.Path, **options: str) -> Iterator[tuple[Any, Any]]:
  """Opens a file and its video stream; errors name the file.

  Args:
    path: Of the file.
    options: FFmpeg's, for its reader.
  """
  av = import_av()
  with _explaining(path):
    plain_files.check(path)
    with av.open(str(path), options=_LIMITS | options) as container:
      stream = _choose_stream(container)
      if stream is None:
        raise DataError(f"{path} has no video in it. {ADVICE}")
      if stream.codec_context is None or not stream.codec_context.width:
        raise DataError(
          f"{path} is cut off or damaged, or its codec is unknown. {ADVICE}"
        )
      context = stream.codec_context
      if context.width * context.height > pictures.MOST_PIXELS:
        raise DataError(
          f"{path} has frames of {context.width} x {context.height} pixels, "
          f"more than {pictures.MOST_PIXELS} in all. {ADVICE}"
        )
      # Grain's threads read several files at once.
      stream.codec_context.thread_count = 1
      yield container, stream


@contextlib.contextmanager
def _explaining(path: pathlib.Path) -> Iterator[None]:
  """Turns errors of PyAV into ours, which name the file."""
  av = import_av()
  try:
    yield
  except DataError:
    raise
  except (
    av.FFmpegError,
    OSError,
    ValueError,
    MemoryError,
    ArithmeticError,
  ) as error:
    reason = getattr(error, "strerror", None) or str(error)
    raise DataError(
      f"{path} cannot be read as a video ({reason}). {ADVICE}"
    ) from error


def _choose_stream(container) -> Any | None:
  """Returns the stream that is the video, wherever in the file it stands.

  Cover pictures are none. One that the file does not call so has one frame, or
  the codec of a picture; previews have fewer pixels than what they are of.
  """

  def rank(stream):
    context = stream.codec_context
    size = context.width * context.height if context else 0
    is_default = bool(stream.disposition & type(stream.disposition).default)
    is_moving = context and context.name not in _PICTURE_CODECS
    return (bool(context), stream.frames != 1, is_moving, is_default, size)

  videos = [
    stream
    for stream in container.streams.video
    if not stream.disposition & type(stream.disposition).attached_pic
  ]
  return max(videos, key=rank, default=None)


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
