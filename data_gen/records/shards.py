"""TFRecord shards and the index beside each, which gives random access.

A record is: its length (uint64), the masked CRC32C of the length (uint32), the
data, and the masked CRC32C of the data. `<shard>.index` holds: 8 magic bytes,
the number of records and the shard's size in bytes (uint64 each), the offset
of each record (uint64), and the CRC32C of all that (uint32). Little-endian.
"""

import contextlib
import errno
import hashlib
import os
import pathlib
import re
import struct
import uuid
from collections.abc import Iterable, Iterator

import crc32c
import numpy as np

from data_gen.files import failpoints

HEADER_BYTES = 12  # Length and its check.
FOOTER_BYTES = 4
INDEX_SUFFIX = ".index"
_INDEX_MAGIC = b"TFRINDX1"
FULL_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY_NAME = re.compile(r".+\.[0-9a-f]{32}\.tmp")


def masked_crc32c(data: bytes) -> int:
  """Returns the check that TFRecords carry: a rotated CRC32C, offset."""
  check = crc32c.crc32c(data)
  return (((check >> 15) | (check << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame_record(data: bytes) -> bytes:
  """Returns the bytes that stand for a record in a shard."""
  length = struct.pack("<Q", len(data))
  return b"".join(
    (
      length,
      struct.pack("<I", masked_crc32c(length)),
      data,
      struct.pack("<I", masked_crc32c(data)),
    )
  )


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> None:
  """Writes a shard and its index; under their names only when complete."""
  offsets, size = [], 0
  with complete_or_absent(path) as temporary:
    with open(temporary, "wb") as file:
      for record in records:
        framed = frame_record(record)
        offsets.append(size)
        size += len(framed)
        file.write(framed)
    # A shard that has its name thus always has its index.
    write_atomically(index_path(path), encode_index(offsets, size))


def index_path(shard: pathlib.Path) -> pathlib.Path:
  """Returns where the index of a shard is."""
  return shard.with_name(shard.name + INDEX_SUFFIX)


def encode_index(offsets: list[int], shard_bytes: int) -> bytes:
  """Returns the bytes of an index file."""
  body = _INDEX_MAGIC + struct.pack("<QQ", len(offsets), shard_bytes)
  body += np.array(offsets, "<u8").tobytes()
  return body + struct.pack("<I", crc32c.crc32c(body))


def decode_index(data: bytes) -> tuple[np.ndarray, int]:
  """Returns the offsets (N,) and the size of the shard.

  Raises:
    ValueError: The bytes are no index, or were damaged.
  """
  body, check = data[:-4], data[-4:]
  is_good = len(data) >= 28 and data.startswith(_INDEX_MAGIC)
  if not is_good or struct.pack("<I", crc32c.crc32c(body)) != check:
    raise ValueError("no index of a shard, or a damaged one")
  count, shard_bytes = struct.unpack("<QQ", body[8:24])
  offsets = np.frombuffer(body[24:], "<i8")
  ends = np.append(offsets, min(shard_bytes, 2**63 - 1))
  if len(offsets) != count or offsets[:1].any() or (np.diff(ends) <= 0).any():
    raise ValueError("an index of a shard whose records do not follow another")
  return offsets.astype(np.int64), shard_bytes


def write_atomically(path: pathlib.Path, data: bytes) -> None:
  """Writes a file that is either complete or absent."""
  with complete_or_absent(path) as temporary:
    temporary.write_bytes(data)


@contextlib.contextmanager
def complete_or_absent(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a temporary path to write to; `path` is that file if all went well.

  No other process, on this machine or another, has the same temporary path.
  """
  temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
  try:
    failpoints.reach("write", path.name)
    yield temporary
    with open(temporary, "rb") as file:
      os.fsync(file.fileno())
    failpoints.reach("replace", path.name)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def remove_temporary_files(folder: pathlib.Path) -> None:
  """Removes what killed processes left of `complete_or_absent`."""
  for path in folder.glob("*.tmp"):
    if _TEMPORARY_NAME.fullmatch(path.name):
      path.unlink(missing_ok=True)


def as_os_error(error: Exception, message: str) -> OSError:
  """Returns the OSError of a full disk that an error's text tells of.

  Args:
    error: Of a library that keeps no more than the system's text.
    message: Of the OSError if the text tells of something else.
  """
  for number in FULL_DISK_ERRORS:
    if os.strerror(number) in str(error):
      return OSError(number, os.strerror(number))
  return OSError(message)


def sha256(path: pathlib.Path) -> str:
  """Returns the SHA-256 of a file, in hexadecimal."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
