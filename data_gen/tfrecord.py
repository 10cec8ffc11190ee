"""Random access to the records of TFRecord shards, with every check verified.

The layout of shards and indices is described in `data_gen.shards`.
"""

import operator
import os
import pathlib
import struct
import threading
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from data_gen import shards
from data_gen.errors import DataError


class TFRecordSource:
  """Records of several shards as one sequence of bytes; a Grain source.

  Shards are opened when first read, so that a damaged one leaves the others
  readable. Reading is safe from several threads, and the source can be
  pickled. Raises DataError where a shard is missing, cut off or damaged.
  """

  def __init__(
    self,
    paths: Sequence[str | os.PathLike],
    counts: Sequence[int] | None = None,
    *,
    advice: str | None = None,
  ):
    """Names the shards.

    Args:
      paths: The shards.
      counts: Records of each. Without them, every shard's index is read.
      advice: What to do about damaged shards that `data_gen` did not make.
    """
    self._advice = advice or _ADVICE
    self._paths = [pathlib.Path(path) for path in paths]
    self._shards: dict[int, tuple[int, np.ndarray, int]] = {}
    self._lock = threading.Lock()
    if counts is None:
      counts = [len(self._open(i)[1]) for i in range(len(self._paths))]
    self._ends = np.cumsum([0, *counts])[1:]

  def __len__(self) -> int:
    return int(self._ends[-1]) if len(self._ends) else 0

  def __repr__(self) -> str:
    # Grain compares it when it restores an iterator: no folders, which move.
    names = [path.name for path in self._paths]
    return f"TFRecordSource({names}, {len(self)} records)"

  def __getstate__(self):
    state = self.__dict__.copy()
    state["_shards"] = {}
    del state["_lock"]
    return state

  def __setstate__(self, state):
    self.__dict__.update(state)
    self._lock = threading.Lock()

  def __del__(self, close=os.close):
    # When Python shuts down, the name `os` may be gone already.
    for descriptor, _, _ in getattr(self, "_shards", {}).values():
      close(descriptor)

  def __getitem__(self, index: SupportsIndex) -> bytes:
    """Returns the data of record `index`, in [0, len(self))."""
    index = operator.index(index)
    if not 0 <= index < len(self):
      raise IndexError(f"Record {index} of {len(self)} does not exist.")
    shard = int(np.searchsorted(self._ends, index, side="right"))
    number = index - (int(self._ends[shard - 1]) if shard else 0)
    descriptor, offsets, size = self._open(shard)
    if number >= len(offsets):
      raise DataError(
        f"{self._paths[shard]} has {len(offsets)} records, but record "
        f"{number} was expected: the shard is not the one that the manifest "
        f"describes. {self._advice}"
      )
    start = int(offsets[number])
    end = int(offsets[number + 1]) if number + 1 < len(offsets) else size
    data = os.pread(descriptor, end - start, start)
    try:
      return _checked_data(data, end - start, self._paths[shard], number, start)
    except _DamageError as error:
      raise DataError(f"{error} {self._advice}") from error

  def _open(self, shard: int) -> tuple[int, np.ndarray, int]:
    """Returns descriptor, offsets and size of a shard."""
    with self._lock:
      if shard not in self._shards:
        path = self._paths[shard]
        try:
          descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
          raise DataError(
            f"{path} cannot be read ({error.strerror}). {self._advice}"
          ) from error
        try:
          self._shards[shard] = (descriptor, *_read_offsets(path))
        except BaseException as error:
          os.close(descriptor)
          if isinstance(error, _DamageError):
            raise DataError(f"{error} {self._advice}") from error
          raise
      return self._shards[shard]


class _DamageError(Exception):
  """A shard is damaged; the message says where, but not what to do."""


_ADVICE = (
  "Delete this shard and run the command that made the data set again "
  "(python -m data_gen with the same options): it makes just what is missing."
)


def _read_offsets(path: pathlib.Path) -> tuple[np.ndarray, int]:
  """Returns the offsets of a shard's records, and its full size in bytes.

  They come from the index; if that is missing or damaged, from a scan.

  Raises:
    _DamageError: The scan came upon damage.
  """
  try:
    return shards.decode_index(shards.index_path(path).read_bytes())
  except (OSError, ValueError):
    return _scan(path)


def _scan(path: pathlib.Path) -> tuple[np.ndarray, int]:
  offsets, start, size = [], 0, path.stat().st_size
  with open(path, "rb") as file:
    while start < size:
      header = os.pread(file.fileno(), shards.HEADER_BYTES, start)
      length = _checked_length(header, path, len(offsets), start)
      offsets.append(start)
      start += shards.HEADER_BYTES + length + shards.FOOTER_BYTES
  if start > size:
    _fail_cut_off(path, len(offsets) - 1, offsets[-1])
  return np.array(offsets, np.int64), size


def _checked_length(header: bytes, path, number: int, offset: int) -> int:
  if len(header) < shards.HEADER_BYTES:
    _fail_cut_off(path, number, offset)
  (check,) = struct.unpack("<I", header[8:])
  if shards.masked_crc32c(header[:8]) != check:
    _fail_damaged(path, number, offset, "length")
  return struct.unpack("<Q", header[:8])[0]


def _checked_data(
  framed: bytes, expected: int, path: pathlib.Path, number: int, offset: int
) -> bytes:
  """Returns the data of a record read from a shard, once verified."""
  length = _checked_length(framed[: shards.HEADER_BYTES], path, number, offset)
  whole = shards.HEADER_BYTES + length + shards.FOOTER_BYTES
  if len(framed) < min(whole, expected):
    _fail_cut_off(path, number, offset)
  if whole != expected:
    _fail_damaged(path, number, offset, "length")
  data = framed[shards.HEADER_BYTES : -shards.FOOTER_BYTES]
  (check,) = struct.unpack("<I", framed[-shards.FOOTER_BYTES :])
  if shards.masked_crc32c(data) != check:
    _fail_damaged(path, number, offset, "data")
  return data


def _fail_cut_off(path, number, offset):
  raise _DamageError(
    f"{path} is cut off in record {number}, which starts at byte {offset}."
  )


def _fail_damaged(path, number, offset, part):
  raise _DamageError(
    f"{path} is damaged: the {part} of record {number}, which starts at byte "
    f"{offset}, does not match its CRC32C."
  )
