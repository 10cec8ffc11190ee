"""Writes PNG files: small, fast, and the same bytes every time; reads them too.

Reading takes a short cut for files as written here (unfiltered rows in one
chunk), three times as fast as Pillow, which reads all others.
"""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Level 3 is three times as fast as 6 for 5% more bytes, and plain rows come
# out smaller than filtered ones (scenes of one object, measured).
_COMPRESSION_LEVEL = 3
_COLOR_TYPES = {1: 0, 3: 2}  # Channels -> grey or RGB.
_MODES = {1: "L", 3: "RGB"}  # The same for Pillow.


def encode_pngs(images: np.ndarray) -> list[bytes]:
  """Encodes N images, uint8 (N, H, W, 3) or (N, H, W), as PNG files."""
  num_images, height, width = images.shape[:3]
  rows = images.reshape(num_images, height, -1)
  filtered = np.zeros((num_images, height, rows.shape[2] + 1), np.uint8)
  filtered[:, :, 1:] = rows  # The 0 before each row stands for no filter.
  start = _start(height, width, rows.shape[2] // width)
  return [
    start + _chunk(b"IDAT", zlib.compress(image, _COMPRESSION_LEVEL)) + _END
    for image in filtered
  ]


def decode_png(data: memoryview, out: np.ndarray) -> None:
  """Decodes a PNG file into `out`, uint8 (H, W, 3) or (H, W).

  Raises:
    ValueError: The image has another size or mode than `out`.
  """
  height, width = out.shape[:2]
  num_channels = out[0, 0].size
  start = _start(height, width, num_channels)
  first, last = len(start) + 8, len(data) - len(_END) - 4
  if data[: len(start)] == start and data[-len(_END) :] == _END:
    (length,) = struct.unpack(">I", data[first - 8 : first - 4])
    if length == last - first:
      rows = np.frombuffer(zlib.decompress(data[first:last]), np.uint8)
      rows = rows.reshape(height, 1 + width * num_channels)
      if not rows[:, 0].any():
        out[:] = rows[:, 1:].reshape(out.shape)
        return
  with Image.open(io.BytesIO(data)) as image:
    if image.mode != _MODES[num_channels] or image.size != (width, height):
      raise ValueError(
        f"A PNG is {image.mode} {image.size}; expected is "
        f"{_MODES[num_channels]} {(width, height)} (width, height)."
      )
    out[:] = np.asarray(image)


def _chunk(name: bytes, data: bytes) -> bytes:
  check = zlib.crc32(data, zlib.crc32(name))
  return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


@functools.lru_cache
def _start(height: int, width: int, num_channels: int) -> bytes:
  color_type = _COLOR_TYPES[num_channels]
  header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
  return _SIGNATURE + _chunk(b"IHDR", header)


_END = _chunk(b"IEND", b"")
