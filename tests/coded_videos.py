"""Frames that show their own number, and videos of them, for tests."""

import fractions

import numpy as np
import pytest

_SIZE, _COLUMNS, _ROWS = 64, 4, 2
GROUP_LENGTH = 10  # Frames from one key frame to the next, at most.
FORMATS = {
  "h264.mp4": ("libx264", {}),
  "mpeg4.avi": ("mpeg4", {"bf": "2"}),  # As UCF-101.
  "vp8.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "8"}),
  "vp9.webm": ("libvpx-vp9", {}),
  "h264.mkv": ("libx264", {"x264-params": "open-gop=1"}),
  "mpeg4.mov": ("mpeg4", {}),
}


def code_frame(number: int, size: int = _SIZE) -> np.ndarray:
  """Returns a frame whose black and white patches are the number's bits."""
  bits = (number >> np.arange(_COLUMNS * _ROWS)) & 1
  patches = bits.reshape(_ROWS, _COLUMNS).astype(np.uint8) * 255
  patches = patches.repeat(size // _ROWS, 0).repeat(size // _COLUMNS, 1)
  return np.stack([patches] * 3, axis=-1)


def read_number(frame: np.ndarray) -> int:
  """Returns the number of a decoded frame (h, w, 3)."""
  height, width = frame.shape[0] // _ROWS, frame.shape[1] // _COLUMNS
  means = frame.reshape(_ROWS, height, _COLUMNS, width, 3).mean((1, 3, 4))
  assert np.all(np.abs(means - 127.5) > 60)
  return int(np.sum((means.ravel() > 127.5) << np.arange(_COLUMNS * _ROWS)))


def write_video(path, length, times=None, first=0):
  """Writes frames `first`, ... at 25 frames a second, or at given 1/25 s."""
  av = pytest.importorskip("av")
  codec, options = FORMATS.get(path.name, FORMATS["h264.mp4"])
  # The index of the MP4 first, so that a file that is cut off still opens.
  layout = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
  with av.open(str(path), "w", options=layout) as container:
    stream = container.add_stream(codec, rate=25, options=options)
    stream.width = stream.height = _SIZE
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = GROUP_LENGTH
    for number in range(length):
      frame = av.VideoFrame.from_ndarray(code_frame(first + number), "rgb24")
      if times is not None:
        frame.pts = times[number]
        frame.time_base = fractions.Fraction(1, 25)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return path
