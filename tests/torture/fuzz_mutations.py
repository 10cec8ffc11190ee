"""Changes of sound files: of their bytes, and of the values in JSON."""

import json
import struct

import numpy as np

_TEXTS = (
  b"{}", b"[]", b"null", b"../", b"/etc/passwd", b"NaN", b"-1", b"1e999",
  b"\\ud800", b"\xff\xff\xff\xff", b"\x00" * 16, b"9" * 30, b'"', b"[" * 200,
)  # fmt: skip
_NUMBERS = (0, 1, -1, 2**15, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 10**18)
_FORMATS = ("<i", ">i", "<h", ">h", "<q", ">q")
_VALUES = (
  None, True, False, -1, 0, 1, 2, 3.5, -0.0, 2**20, 2**31, 2**63, 10**30,
  10**60, float("nan"), float("inf"), 1e308, 5e-324, "", "x", "../x",
  "/etc/passwd", "\ud800", "a\x00b", "é" * 300, "9" * 50, [], {}, [[]],
  {"a": {}}, [1, "x", None], [[1], [1, 2]], ["x"] * 2000, list(range(3000)),
)  # fmt: skip


def mutate(
  rng: np.random.Generator, samples: list[bytes], *, is_json: bool
) -> bytes:
  """Returns one of some sound files, changed in one to four places."""
  data = samples[rng.integers(len(samples))]
  if is_json and rng.random() < 0.75:
    return _of_json(rng, data)
  for _ in range(1 + rng.integers(4) * int(rng.random() < 0.5)):
    change = _CHANGES[rng.integers(len(_CHANGES))]
    data = change(rng, data, samples)
  return data


def _flip_bits(rng, data, samples):
  changed = bytearray(data)
  for _ in range(rng.integers(1, 9)):
    if changed:
      changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
  return bytes(changed)


def _set_bytes(rng, data, samples):
  changed = bytearray(data)
  place = _place(rng, data)
  length = rng.integers(1, 9)
  changed[place : place + length] = rng.bytes(length)
  return bytes(changed[: len(data)])


def _cut(rng, data, samples):
  return data[: _place(rng, data)]


def _leave_out(rng, data, samples):
  place = _place(rng, data)
  return data[:place] + data[place + rng.integers(1, 64) :]


def _insert(rng, data, samples):
  place = _place(rng, data)
  more = rng.bytes(rng.integers(1, 32))
  if rng.random() < 0.5:
    more = _TEXTS[rng.integers(len(_TEXTS))]
  return data[:place] + more + data[place:]


def _splice(rng, data, samples):
  other = samples[rng.integers(len(samples))]
  start = _place(rng, other)
  part = other[start : start + rng.integers(1, 256)]
  place = _place(rng, data)
  end = place + (len(part) if rng.random() < 0.5 else 0)
  return data[:place] + part + data[end:]


def _repeat(rng, data, samples):
  place = _place(rng, data)
  part = data[place : place + rng.integers(1, 64)]
  return data[:place] + part * rng.integers(2, 500) + data[place:]


def _set_number(rng, data, samples):
  number = _NUMBERS[rng.integers(len(_NUMBERS))]
  form = _FORMATS[rng.integers(len(_FORMATS))]
  bits = 8 * struct.calcsize(form)
  number = (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
  packed = struct.pack(form, number)
  place = _place(rng, data)
  return data[:place] + packed + data[place + len(packed) :]


def _swap(rng, data, samples):
  one, other = sorted((_place(rng, data), _place(rng, data)))
  n = min(4, other - one)
  return (
    data[:one]
    + data[other : other + n]
    + data[one + n : other]
    + data[one : one + n]
    + data[other + n :]
  )


_CHANGES = (
  _flip_bits, _flip_bits, _set_bytes, _cut, _leave_out, _insert, _splice,
  _repeat, _set_number, _set_number, _swap,
)  # fmt: skip


def _place(rng, data):
  """A place in the file; the start, where headers are, is likelier."""
  share = rng.random() ** (3 if rng.random() < 0.5 else 1)
  return int(share * len(data))


def _of_json(rng, data):
  value = json.loads(data)
  for _ in range(1 + int(rng.random() < 0.3)):
    value = _changed(rng, value)
  text = json.dumps(value)
  if rng.random() < 0.02:  # The same field twice.
    text = text.replace("{", '{"format": 1, "format": 2, ', 1)
  if rng.random() < 0.02:
    text = "[" * 5000 + text
  return text.encode()


def _changed(rng, value):
  """Returns JSON with another value at one place, or without it."""
  is_inner = isinstance(value, dict | list) and len(value)
  if not is_inner or rng.random() < 0.08:
    return _VALUES[rng.integers(len(_VALUES))]
  keys = list(value) if isinstance(value, dict) else range(len(value))
  key = keys[rng.integers(len(keys))]
  changed = dict(value) if isinstance(value, dict) else list(value)
  choice = rng.random()
  if choice < 0.1:
    del changed[key]
  elif choice < 0.15 and isinstance(value, dict):
    changed[f"{key}x"] = changed.pop(key)
  elif choice < 0.2:
    other = keys[rng.integers(len(keys))]
    changed[key], changed[other] = value[other], value[key]
  elif choice < 0.25 and isinstance(value, list):
    changed = changed * 3
  else:
    changed[key] = _changed(rng, value[key])
  return changed
