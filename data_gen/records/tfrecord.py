"""Random access to the records of TFRecord shards, with every check verified.

The layout of shards and indices is described in `data_gen.records.shards`.
"""

import os
import pathlib
import struct
import threading
from collections.abc import Sequence

import numpy as np

from data_gen.errors import DataError
from data_gen.files import plain_files
from data_gen.records import shards
from data_gen.records.record_source import ADVICE, RecordSource, wrong_count

# Protobuf's limit of a message, and 2**24 offsets.
_MOST_RECORD_BYTES, _MOST_INDEX_BYTES = 2**31, 2**27


class TFRecordSource(RecordSource):
  """Records of TFRecord shards as one sequence of bytes.

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
    super().__init__(paths, counts or [], advice)
    self._shards: dict[int, tuple[int, np.ndarray, int]] = {}
    self._lock = threading.Lock()
    if counts is None:
      found = [len(self._open(i)[1]) for i in range(len(self.paths))]
      self._ends = np.cumsum([0, *found])[1:]

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

  def _read(self, shard: int, number: int) -> bytes:
    descriptor, offsets, size = self._open(shard)
    if number >= len(offsets):
      raise wrong_count(
        self.paths[shard], len(offsets), f"record {number} was", self.advice
      )
    start = int(offsets[number])
    end = int(offsets[number + 1]) if number + 1 < len(offsets) else size
    held = max(0, min(end, os.fstat(descriptor).st_size) - start)
    try:
      if held > _MOST_RECORD_BYTES:
        _fail_damaged(self.paths[shard], number, start, "length")
      data = os.pread(descriptor, held, start)
      return _checked_data(data, end - start, self.paths[shard], number, start)
    except _DamageError as error:
      raise DataError(f"{error} {self.advice}") from error

  def _open(self, shard: int) -> tuple[int, np.ndarray, int]:
    """Returns descriptor, offsets and size of a shard."""
    with self._lock:
      if shard not in self._shards:
        path = self.paths[shard]
        try:
          with plain_files.open_file(path) as file:
            descriptor = os.dup(file.fileno())
        except OSError as error:
          raise DataError(
            f"{path} cannot be read ({error.strerror}). {self.advice}"
          ) from error
        try:
          self._shards[shard] = (descriptor, *_read_offsets(path))
        except BaseException as error:
          os.close(descriptor)
          if isinstance(error, _DamageError):
            raise DataError(f"{error} {self.advice}") from error
          raise
      return self._shards[shard]


class _DamageError(Exception):
  """A shard is damaged; the message says where, but not what to do."""


def check_shard(path: pathlib.Path, num_records: int) -> None:
  """Reads all of a shard, without its index, and then checks the index.

  Raises:
    DataError: A record or the index is damaged; the message says where.
  """
  try:
    offsets, size = _scan(path)
    ends = [*offsets[1:], size]
    with plain_files.open_file(path) as file:
      for number, (start, end) in enumerate(zip(offsets, ends, strict=True)):
        if end - start > _MOST_RECORD_BYTES:
          _fail_damaged(path, number, int(start), "length")
        framed = file.read(int(end - start))
        _checked_data(framed, len(framed), path, number, int(start))
  except _DamageError as error:
    raise DataError(f"{error} {ADVICE}") from error
  if len(offsets) != num_records:
    raise wrong_count(path, len(offsets), f"{num_records} were", ADVICE)
  index = shards.index_path(path)
  is_good = index.is_file()
  expected = shards.encode_index(offsets, size)
  if not is_good or plain_files.read_bytes(index, len(expected)) != expected:
    raise DataError(
      f"{index} is missing, damaged or of another shard. Delete it, and run "
      "the command that made the data set again: it makes what is missing."
    )


def _read_offsets(path: pathlib.Path) -> tuple[np.ndarray, int]:
  """Returns the offsets of a shard's records, and its full size in bytes.

  They come from the index; if that is missing or damaged, from a scan.

  Raises:
    _DamageError: The scan came upon damage.
  """
  try:
    index = plain_files.read_bytes(shards.index_path(path), _MOST_INDEX_BYTES)
    return shards.decode_index(index)
  except (OSError, ValueError):
    return _scan(path)


def _scan(path: pathlib.Path) -> tuple[np.ndarray, int]:
  offsets, start, size = [], 0, plain_files.check(path).st_size
  with plain_files.open_file(path) as file:
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
