"""ArrayRecord shards, written and read one record at a time.

The files are those of https://github.com/google/array_record, one record a
chunk (`group_size:1`), which makes random access fast. Records are not
compressed: their images are already, and the bytes then depend on no version
of zstd. (With it, shards of 128 pixels were 28% smaller.) Every chunk carries
a hash of its data, which reading checks.
"""

import math
import os
import pathlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from data_gen.errors import DataError
from data_gen.files import plain_files
from data_gen.records import shards
from data_gen.records.record_source import RecordSource, wrong_count

_WRITER_OPTIONS = "group_size:1,uncompressed,max_parallelism:1"
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_BLOCK_BYTES = 2**16
RECORD_OVERHEAD_BYTES = 64


def import_array_record() -> Any:
  """Returns the module with reader and writer, which not all systems have.

  Raises:
    DataError: It is not installed.
  """
  try:
    from array_record.python import array_record_module
  except ImportError as error:
    raise DataError(
      "--file_format=array_record needs the package array_record, which cannot "
      f"be imported here ({error}): pip install array_record. It is made for "
      "Linux and macOS; elsewhere use --file_format=tfrecord."
    ) from error
  return array_record_module


def file_bytes(record_bytes: float) -> int:
  """Returns the size of a shard: whole blocks, and one more at its end."""
  return (math.ceil(record_bytes / _BLOCK_BYTES) + 1) * _BLOCK_BYTES


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> None:
  """Writes a shard; under its name only when complete.

  Raises:
    OSError: It cannot be written, such as on a full disk.
  """
  module = import_array_record()
  with shards.complete_or_absent(path) as temporary:
    writer = module.ArrayRecordWriter(str(temporary), _WRITER_OPTIONS)
    try:
      for record in records:
        writer.write(record)
      writer.close()
    except RuntimeError as error:
      raise shards.as_os_error(
        error, f"{path} cannot be written: {error}"
      ) from error


class ArrayRecordSource(RecordSource):
  """Records of ArrayRecord shards as one sequence of bytes.

  Shards are opened when first read, so that a damaged one leaves the others
  readable. Reading is safe from several threads, and the source can be
  pickled. Raises DataError where a shard is missing, cut off or damaged.
  """

  def __init__(
    self,
    paths: Sequence[str | os.PathLike],
    counts: Sequence[int],
    advice: str | None = None,
  ):
    """Names the shards and the number of records in each."""
    super().__init__(paths, counts, advice)
    self._counts = list(counts)
    self._module = import_array_record()
    self._readers: dict[int, Any] = {}
    self._lock = threading.Lock()

  def __getstate__(self):
    state = self.__dict__.copy()
    for name in ("_readers", "_lock", "_module"):
      del state[name]
    return state

  def __setstate__(self, state):
    self.__dict__.update(state)
    self._module = import_array_record()
    self._readers = {}
    self._lock = threading.Lock()

  def _read(self, shard: int, number: int) -> bytes:
    try:
      with self._lock:
        return self._reader(shard).read([number])[0]
    except (RuntimeError, IndexError) as error:
      raise DataError(
        f"{self.paths[shard]} is damaged: record {number} cannot be read "
        f"({error}). {self.advice}"
      ) from error

  def _reader(self, shard: int) -> Any:
    if shard not in self._readers:
      path = self.paths[shard]
      try:
        plain_files.check(path)  # The reader takes a missing file for empty.
      except OSError as error:
        raise DataError(
          f"{path} cannot be read ({error.strerror}). {self.advice}"
        ) from error
      reader = self._module.ArrayRecordReader(str(path), _READER_OPTIONS)
      # It takes a file that is cut off, or has a bad end, for an empty one.
      found, expected = reader.num_records(), self._counts[shard]
      if found != expected:
        reader.close()
        raise wrong_count(path, found, f"{expected} were", self.advice)
      self._readers[shard] = reader
    return self._readers[shard]
