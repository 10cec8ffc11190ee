"""Reads JSON of others into values whose types are known.

Whatever is in a file, reading it raises nothing but the two errors below, takes
no more than a few times its size of memory, and gives values that can be
written again: no letters by half (`\\ud800`), no nesting that a later program
gives up on, no number of thousands of digits.

Types are those of `msgspec`: `TypedDict`, `Literal`, and `Annotated` with
`msgspec.Meta` for ranges. Fields that a type does not name are let through.
"""

import json
import pathlib
from typing import Any

import msgspec

from data_gen.files import plain_files

_MOST_BYTES = 64 * plain_files.MIB
_MOST_LISTS = 2**20  # And objects: each takes far more memory than bytes.
_MOST_LEVELS = 64
_MOST_DIGITS = 40  # Seeds and states of generators have 128 bits.


class JsonError(ValueError):
  """A text is no JSON, or holds something else; the message says what."""


def read(
  path: pathlib.Path,
  kind: Any = dict[str, Any],
  *,
  halves_of_letters: bool = False,
) -> Any:
  """Returns the value in a file.

  Args:
    path: Of the file, in UTF-8.
    kind: Type of the value.
    halves_of_letters: Whether texts may have them: the caller looks.

  Raises:
    OSError: It is missing, cannot be read, or is no regular file.
    JsonError: It holds something else; the message does not name the file.
  """
  data = plain_files.read_bytes(path, _MOST_BYTES)
  return parse(data, kind, halves_of_letters=halves_of_letters)


def parse(
  data: bytes, kind: Any = dict[str, Any], *, halves_of_letters: bool = False
) -> Any:
  """Returns the value of a text; see `read`."""
  num_lists = data.count(b"[") + data.count(b"{")
  if num_lists > _MOST_LISTS:
    raise JsonError(f"it has more than {_MOST_LISTS} lists and objects")
  try:
    value = json.loads(
      data.decode("utf-8-sig"),
      object_pairs_hook=_make_object,
      parse_int=_make_int,
    )
    if num_lists > _MOST_LEVELS:
      _check_depth(value)
    if not halves_of_letters and b"\\ud" in data.lower():
      json.dumps(value, ensure_ascii=False).encode()
    msgspec.convert(value, kind)
  except RecursionError as error:
    raise _too_deep() from error
  except UnicodeEncodeError as error:
    raise JsonError("it has a half of a letter (\\ud800 to \\udfff)") from error
  except ValueError as error:  # Of `json`, `decode` and `msgspec`.
    raise JsonError(str(error)) from error
  return value


def fitting(found: Any, kind: Any) -> list[Any]:
  """Returns those entries of a list that are of a type; none of no list."""
  return [
    entry
    for entry in (found if isinstance(found, list) else [])
    if _is_a(entry, kind)
  ]


def _is_a(value: Any, kind: Any) -> bool:
  try:
    msgspec.convert(value, kind)
  except msgspec.ValidationError:
    return False
  return True


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in found if names.count(name) > 1)
    raise JsonError(f"it has the field {twice[:80]!r} twice in one object")
  return found


def _make_int(text: str) -> int:
  if len(text) > _MOST_DIGITS:
    raise JsonError(f"it has a whole number of {len(text)} digits")
  return int(text)


def _check_depth(value: Any) -> None:
  level = [value]
  for _ in range(_MOST_LEVELS):
    level = [
      child
      for item in level
      if isinstance(item, dict | list)
      for child in (item.values() if isinstance(item, dict) else item)
    ]
  if level:
    raise _too_deep()


def _too_deep() -> JsonError:
  return JsonError(f"it is nested more than {_MOST_LEVELS} deep")
