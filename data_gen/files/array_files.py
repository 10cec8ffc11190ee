"""Arrays in .npz and .npy files of others: looked at first, read one by one.

`numpy.load` takes the file's word for how large an array is, and unpacks
whatever is there. Here shape and type are known before anything is unpacked, an
array's bytes are as many as these say, and no more are ever read. Pickled
objects are refused.
"""

import dataclasses
import io
import math
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from data_gen.files import plain_files

_MOST_MEMBERS = 2**14
_MOST_HEADER_BYTES = 10_000  # As NumPy.
_MOST_LENGTH, _MOST_AXES = 2**40, 32
_KINDS = "biufcSUV"  # Of numbers, texts and bare bytes, as of bfloat16.
_PART_BYTES = 2**20
_ERRORS = (
  zipfile.BadZipFile,
  zlib.error,
  ValueError,
  EOFError,
  SyntaxError,
  TypeError,
  KeyError,
  IndexError,
  OverflowError,
  RecursionError,
  NotImplementedError,  # Of `zipfile`, of features that it lacks.
  RuntimeError,  # The same, of passwords.
  MemoryError,
  tokenize.TokenError,  # Of NumPy, of a header.
)


class ArrayFileError(ValueError):
  """A file is no archive of arrays; the message says why, but not which."""


@dataclasses.dataclass(frozen=True)
class StoredArray:
  """An array that has not been read; `numpy.asarray` reads it.

  Attributes:
    path: Of the archive.
    member: Its name there.
    shape: Of the array.
    dtype: Of its values.
    is_transposed: Whether it is stored column by column.
    offset: Where it starts in the file, bytes.
  """

  path: pathlib.Path
  member: str
  shape: tuple[int, ...]
  dtype: np.dtype
  is_transposed: bool
  offset: int

  @property
  def ndim(self) -> int:
    """Number of axes."""
    return len(self.shape)

  @property
  def nbytes(self) -> int:
    """Bytes of the values."""
    return math.prod(self.shape) * self.dtype.itemsize

  def __array__(
    self, dtype: Any = None, copy: bool | None = None
  ) -> np.ndarray:
    """Reads it.

    Raises:
      OSError: The file cannot be read.
      ArrayFileError: It is damaged.
    """
    with self.opened() as file:
      array = np.frombuffer(file.read(self.nbytes), self.dtype)
      file.finish()
    array = array.reshape(self.shape, order="F" if self.is_transposed else "C")
    return array if dtype is None else array.astype(dtype)

  def opened(self) -> "ArrayStream":
    """Returns its values' bytes, to read as they come."""
    return ArrayStream(self)


class ArrayStream:
  """The bytes of an array's values; closes its file where a `with` ends."""

  def __init__(self, array: StoredArray):
    self._file = plain_files.open_file(array.path)
    try:
      _check_kind(array.dtype)
      self._archive = zipfile.ZipFile(self._file)
      self._member = self._archive.open(array.member)
      _read_header(self._member)
    except _ERRORS as error:
      self._file.close()
      raise _as_ours(error) from error

  def __enter__(self) -> "ArrayStream":
    return self

  def __exit__(self, *_: object) -> None:
    self._file.close()

  def read(self, count: int) -> bytearray:
    """Returns the next `count` bytes; raises ArrayFileError if they end."""
    content = bytearray(count)
    done = 0
    try:
      with memoryview(content) as view:
        while done < count:
          part = self._member.read(min(count - done, _PART_BYTES))
          if not part:
            raise EOFError("it ends too early")
          view[done : done + len(part)] = part
          done += len(part)
    except _ERRORS as error:
      raise _as_ours(error) from error
    return content

  def finish(self) -> None:
    """Raises ArrayFileError if more is there, or its checksum is another."""
    try:
      if self._member.read(1):
        raise ValueError("it has more bytes than its header says")
    except _ERRORS as error:
      raise _as_ours(error) from error


def open_npz(path: pathlib.Path) -> dict[str, StoredArray]:
  """Returns the arrays of an archive by name; reads none of them.

  Raises:
    OSError: The file cannot be read, or is no regular file.
    ArrayFileError: It is no such archive, or damaged.
  """
  found: dict[str, StoredArray] = {}
  with plain_files.open_file(path) as file:
    try:
      with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > _MOST_MEMBERS:
          raise ValueError(f"it has {len(members)} members")
        for member in members:
          name = member.filename.removesuffix(".npy")
          if name in found:
            raise ValueError(f"{name!r} is there twice")
          try:
            found[name] = _look(path, archive, member)
          except _ERRORS as error:
            raise ArrayFileError(
              f"array {name}, which starts at byte {member.header_offset}: "
              f"{error}"
            ) from error
    except ArrayFileError:
      raise
    except _ERRORS as error:
      raise ArrayFileError(f"the list of its arrays: {error}") from error
  return found


def read_npy(path: pathlib.Path) -> np.ndarray:
  """Returns the array of a .npy file, read-only.

  Raises:
    OSError: The file cannot be read, or is no regular file.
    ArrayFileError: It is no such file, or damaged.
  """
  with plain_files.open_file(path) as file:
    try:
      shape, is_transposed, dtype, header_bytes = _read_header(file)
      _check_kind(dtype)
      num_bytes = math.prod(shape) * dtype.itemsize
      size = os.fstat(file.fileno()).st_size
      if header_bytes + num_bytes != size:
        raise ValueError(
          f"it has {size} bytes, where its header says "
          f"{header_bytes + num_bytes}"
        )
      values = np.frombuffer(file.read(num_bytes), dtype)
      return values.reshape(shape, order="F" if is_transposed else "C")
    except _ERRORS as error:
      raise _as_ours(error) from error


def check_size(arrays: Mapping[str, StoredArray], most_bytes: int) -> None:
  """Raises ArrayFileError if arrays take more memory than such may take."""
  num_bytes = sum(array.nbytes for array in arrays.values())
  if num_bytes > most_bytes:
    raise ArrayFileError(
      f"its arrays would take {num_bytes / plain_files.MIB:.0f} MiB, where at "
      f"most {most_bytes / plain_files.MIB:.0f} MiB are expected"
    )


def _look(
  path: pathlib.Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> StoredArray:
  if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
    raise ValueError("it is packed in a way that NumPy never uses")
  with archive.open(member) as file:
    shape, is_transposed, dtype, header_bytes = _read_header(file)
  array = StoredArray(
    path, member.filename, shape, dtype, is_transposed, member.header_offset
  )
  is_pickled = dtype.hasobject  # It is refused when it is read.
  if not is_pickled and header_bytes + array.nbytes != member.file_size:
    raise ValueError(
      f"it has {member.file_size} bytes, where its header says "
      f"{header_bytes + array.nbytes}"
    )
  return array


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, Any, int]:
  """Returns shape, whether column by column, type, and the header's bytes."""
  start = file.read(8)
  version = np.lib.format.read_magic(io.BytesIO(start))
  length = file.read(2 if version == (1, 0) else 4)
  header_bytes = int.from_bytes(length, "little")
  if header_bytes > _MOST_HEADER_BYTES:
    raise ValueError(f"it has a header of {header_bytes} bytes")
  whole = io.BytesIO(length + file.read(header_bytes))
  if version == (1, 0):
    found = np.lib.format.read_array_header_1_0(whole)
  else:
    found = np.lib.format.read_array_header_2_0(whole)
  shape, is_transposed, dtype = found
  if len(shape) > _MOST_AXES or not all(
    type(n) is int and 0 <= n <= _MOST_LENGTH for n in shape
  ):
    raise ValueError(f"it has the shape {str(shape)[:80]}")
  return shape, is_transposed, dtype, len(start) + len(length) + header_bytes


def _check_kind(dtype: np.dtype) -> None:
  if dtype.hasobject or dtype.kind not in _KINDS or dtype.names:
    raise ValueError(f"it is of type {dtype}, which is not read")


def _as_ours(error: Exception) -> ArrayFileError:
  return ArrayFileError(str(error) or type(error).__name__)
