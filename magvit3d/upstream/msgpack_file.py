"""Reads a Flax state dict from a msgpack file that nobody vouches for.

The format is that of `flax.serialization`: maps of text to maps, numbers and
arrays. An array is an extension of code 1 (a NumPy scalar of code 3) holding
(shape, name of the type, bytes); a complex number has code 2; an array above a
size is a map with the key `__msgpack_chunked_array__`. Nothing else is
accepted, no object is ever built from its name, and memory in use stays within
a small multiple of the file's size.
"""

import mmap
import pathlib
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np

from magvit3d.errors import UserError

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
_DTYPES = {
  name.encode(): np.dtype(getattr(jnp, name))
  for name in (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 "
    "float32 float64 complex64 complex128"
  ).split()
} | {b"bool": np.dtype(bool)}
_MAX_DEPTH = 64
_MAX_AXES, _MAX_LENGTH = 32, 2**40
# The longest list of a state dict is a shape; msgpack may reserve memory for
# as many entries as a list says it has.
_MAX_LIST = 4096
_MAX_CONTAINERS = 2**16  # H's transformer has about a thousand.
# What else people name by mistake, by its first bytes.
_OTHER_FORMATS = {
  b"PK\x03\x04": "a ZIP archive (.npz, PyTorch and Keras files are)",
  b"\x80\x02": "a Python pickle, which is never opened",
  b"\x80\x03": "a Python pickle, which is never opened",
  b"\x80\x04": "a Python pickle, which is never opened",
  b"\x80\x05": "a Python pickle, which is never opened",
  b"\x1f\x8b": "a gzip archive",
  b"\x89HDF": "an HDF5 file",
  b"\x93NUMPY": "a NumPy array (.npy)",
}


def read(path: pathlib.Path) -> dict[str, Any]:
  """Returns the state dict in a file.

  Arrays are read-only NumPy arrays; lists stay lists.

  Raises:
    UserError: The file is no such state dict, or damaged.
  """
  try:
    with path.open("rb") as file:
      start = file.read(8)
      if not start:
        raise ValueError("it is empty")
      for magic, what in _OTHER_FORMATS.items():
        if start.startswith(magic):
          raise ValueError(f"it is {what}")
      with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packed:
        tree = _unpack(packed)
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error.strerror}).") from error
  except (
    ValueError,  # Most of msgpack's errors, too.
    msgpack.exceptions.UnpackException,
    RecursionError,  # Of msgpack without its compiled part.
    MemoryError,
  ) as error:
    reason = str(error).rstrip(".") or type(error).__name__
    raise UserError(
      f"{path} holds no Flax state dict that can be read: {reason}. Copy it "
      "again if it was cut off, or name a checkpoint_<step> file, its folder, "
      "or an Orbax folder."
    ) from error
  return tree


def _unpack(packed: mmap.mmap) -> dict[str, Any]:
  num_containers = 0

  def count() -> None:
    nonlocal num_containers
    num_containers += 1
    if num_containers > _MAX_CONTAINERS:
      raise ValueError(f"it has more than {_MAX_CONTAINERS} maps and lists")

  def make_map(pairs: list) -> dict[str, Any]:
    count()
    for key, _ in pairs:
      if not isinstance(key, str):
        raise ValueError(f"a key is {type(key).__name__}, not text")
    return dict(pairs)

  def make_list(entries: list) -> list:
    count()
    return entries

  tree = msgpack.unpackb(
    packed,
    object_pairs_hook=make_map,
    list_hook=make_list,
    ext_hook=_read_extension,
    strict_map_key=False,  # `make_map` looks.
    max_array_len=_MAX_LIST,
  )
  if not isinstance(tree, dict):
    raise ValueError(f"it holds one {type(tree).__name__}, not a map")
  return _resolve(tree, depth=0)


def _read_extension(code: int, packed: bytes) -> Any:
  if code in (_ARRAY, _SCALAR):
    array = _read_array(packed)
    if code == _SCALAR and array.ndim:
      raise ValueError(f"a scalar has shape {array.shape}")
    return array
  if code == _COMPLEX:
    parts = msgpack.unpackb(packed, max_array_len=2)
    if not isinstance(parts, list) or [type(x) for x in parts] != [float] * 2:
      raise ValueError("a complex number is no pair of numbers")
    return complex(*parts)
  raise ValueError(f"it holds an object of unknown kind ({code})")


def _read_array(packed: bytes) -> np.ndarray:
  parts = msgpack.unpackb(packed, raw=True, max_array_len=_MAX_AXES)
  if not isinstance(parts, list) or len(parts) != 3:
    raise ValueError("an array is not (shape, type, bytes)")
  shape, name, content = parts
  dtype = _DTYPES.get(name) if isinstance(name, bytes) else None
  if dtype is None:
    raise ValueError(f"an array has the type {str(name)[:40]}")
  size = _size(shape)
  if not isinstance(content, bytes) or len(content) != size * dtype.itemsize:
    raise ValueError(
      f"an array of shape {tuple(shape)} and type {dtype} comes with "
      f"{len(content) if isinstance(content, bytes) else 'no'} bytes"
    )
  return np.frombuffer(content, dtype).reshape(shape)


def _size(shape: Any) -> int:
  """Number of entries, as an int that cannot overflow."""
  if not isinstance(shape, list | tuple) or len(shape) > _MAX_AXES:
    raise ValueError("an array has no shape")
  size = 1
  for length in shape:
    if type(length) is not int or not 0 <= length <= _MAX_LENGTH:
      raise ValueError(f"an array has an axis of length {str(length)[:40]}")
    size *= length
  return size


def _resolve(node: Any, depth: int) -> Any:
  """Joins chunked arrays and rejects what is no part of a state dict."""
  if depth > _MAX_DEPTH:
    raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
  if isinstance(node, dict):
    if _CHUNKED in node:
      return _join(node)
    return {key: _resolve(child, depth + 1) for key, child in node.items()}
  if isinstance(node, list):
    return [_resolve(child, depth + 1) for child in node]
  if node is None or isinstance(
    node, np.ndarray | bool | int | float | complex | str | bytes
  ):
    return node
  raise ValueError(f"it holds a {type(node).__name__}")


def _join(node: dict[str, Any]) -> np.ndarray:
  """The array that a chunked one's map stands for."""
  shape, chunks = (_entries(node, key) for key in ("shape", "chunks"))
  for chunk in chunks:
    if not isinstance(chunk, np.ndarray) or chunk.ndim != 1:
      raise ValueError("a chunk of an array is no row of numbers")
    if chunk.dtype != chunks[0].dtype:
      raise ValueError("the chunks of an array differ in type")
  found, wanted = sum(len(chunk) for chunk in chunks), _size(shape)
  if not chunks or found != wanted:
    raise ValueError(
      f"an array of shape {tuple(shape)} comes in chunks of {found} entries"
    )
  return np.concatenate(chunks).reshape(shape)


def _entries(node: dict[str, Any], key: str) -> list:
  """Values of {"0": ..., "1": ...}, as Flax writes a tuple."""
  numbered = node.get(key)
  if not isinstance(numbered, dict):
    raise ValueError(f"a chunked array has no {key}")
  if set(numbered) != {str(i) for i in range(len(numbered))}:
    raise ValueError(f"a chunked array's {key} is not numbered from 0")
  return [numbered[str(i)] for i in range(len(numbered))]
