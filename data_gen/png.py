"""Writes PNG files: small, fast, and the same bytes every time."""

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Level 3 is three times as fast as 6 for 5% more bytes, and plain rows come
# out smaller than filtered ones (scenes of one object, measured).
_COMPRESSION_LEVEL = 3
_COLOR_TYPES = {1: 0, 3: 2}  # Channels -> grey or RGB.


def encode_pngs(images: np.ndarray) -> list[bytes]:
  """Encodes N images, uint8 (N, H, W, 3) or (N, H, W), as PNG files."""
  num_images, height, width = images.shape[:3]
  rows = images.reshape(num_images, height, -1)
  filtered = np.zeros((num_images, height, rows.shape[2] + 1), np.uint8)
  filtered[:, :, 1:] = rows  # The 0 before each row stands for no filter.
  color_type = _COLOR_TYPES[rows.shape[2] // width]
  header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
  start = _SIGNATURE + _chunk(b"IHDR", header)
  end = _chunk(b"IEND", b"")
  return [
    start + _chunk(b"IDAT", zlib.compress(image, _COMPRESSION_LEVEL)) + end
    for image in filtered
  ]


def _chunk(name: bytes, data: bytes) -> bytes:
  check = zlib.crc32(data, zlib.crc32(name))
  return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)
