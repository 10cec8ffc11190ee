"""tf.train.Example messages, written and read without TensorFlow or protobuf.

The wire format is small: an Example holds Features, a map from keys to lists
of bytes, floats or integers. Writing it here keeps the bytes the same under
every version of protobuf (whose maps have no fixed order), and reading it here
gives views of a record's bytes without copies. Keys are written in order.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Container

import numpy as np

# Tags: field number * 8 + wire type (0 varint, 2 length and bytes).
_LENGTH = 2
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
# A number of 64 bits has no more bytes, and a record no more entries: of what
# nobody vouches for, each would take time.
_MOST_VARINT_BYTES = 10
_MOST_ENTRIES = 2**20

Value = list[bytes] | np.ndarray


def encode_example(features: dict[str, Value]) -> bytes:
  """Serializes an Example.

  Args:
    features: Lists of bytes, and arrays of floats (stored as float32) or of
      integers (int64), flattened row-major.
  """
  entries = []
  for key in sorted(features):
    value = features[key]
    if isinstance(value, list):
      kind, body = _BYTES_LIST, b"".join(_field(1, item) for item in value)
    elif np.issubdtype(value.dtype, np.floating):
      data = np.ascontiguousarray(value, "<f4").tobytes()
      kind, body = _FLOAT_LIST, _field(1, data)
    else:
      data = b"".join(_varint(int(v) & (2**64 - 1)) for v in value.ravel())
      kind, body = _INT64_LIST, _field(1, data)
    feature = _field(kind, body)
    entries.append(_field(1, _field(1, key.encode()) + _field(2, feature)))
  return _field(1, b"".join(entries))


def decode_example(
  record: bytes, keys: Container[str] | None = None
) -> dict[str, list[memoryview] | np.ndarray]:
  """Parses an Example: lists of views of bytes, float32 or int64 arrays (N,).

  Args:
    record: The bytes.
    keys: Those wanted; all by default. Of others only the names are read.

  Raises:
    ValueError: The bytes are no Example with packed lists.
  """
  features = {}
  fields = _Fields()
  try:
    for _, body in fields.of(memoryview(record)):
      for _, entry in fields.of(body):
        parts = dict(fields.of(entry))
        key = bytes(parts[1]).decode()
        if keys is None or key in keys:
          features[key] = _decode_feature(parts[2], fields)
  except (IndexError, KeyError, UnicodeDecodeError) as error:
    raise ValueError("The record is no tf.train.Example.") from error
  return features


def _decode_feature(feature: memoryview, fields: "_Fields"):
  kind, body = next(fields.of(feature), (_BYTES_LIST, memoryview(b"")))
  items = [data for _, data in fields.of(body)]
  if kind == _BYTES_LIST:
    return items
  if kind == _FLOAT_LIST:
    parts = [np.frombuffer(data, "<f4") for data in items]
    return np.concatenate([np.zeros(0, np.float32), *parts])
  values = []
  for data in items:
    position = 0
    while position < len(data):
      fields.count()
      value, position = _read_varint(data, position)
      values.append(value - 2**64 if value >= 2**63 else value)
  return np.array(values, np.int64)


class _Fields:
  """The fields of a record's messages, of which there are not too many."""

  def __init__(self):
    self._num_entries = 0

  def count(self) -> None:
    """Counts an entry."""
    self._num_entries += 1
    if self._num_entries > _MOST_ENTRIES:
      raise ValueError(
        f"The record is no tf.train.Example of {_MOST_ENTRIES} entries at most."
      )

  def of(self, data: memoryview):
    """Yields number and bytes of each length-delimited field."""
    position, end = 0, len(data)
    while position < end:
      self.count()
      tag, start = _read_varint(data, position)
      length, start = _read_varint(data, start)
      position = start + length
      if tag % 8 != _LENGTH or position > end:
        raise ValueError("The record is no tf.train.Example with packed lists.")
      yield tag // 8, data[start:position]


def _field(number: int, data: bytes) -> bytes:
  return _varint(number * 8 + _LENGTH) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
  parts = bytearray()
  while value > 127:
    parts.append(value & 127 | 128)
    value >>= 7
  parts.append(value)
  return bytes(parts)


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
  value = data[position]
  if value < 128:  # Most are.
    return value, position + 1
  value = 0
  for number in range(_MOST_VARINT_BYTES):
    byte = data[position + number]
    value |= (byte & 127) << (7 * number)
    if byte < 128:
      if value >= 2**64:
        break
      return value, position + number + 1
  raise ValueError(
    "The record is no tf.train.Example: it has a number of more than 64 bits."
  )
