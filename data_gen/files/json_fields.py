"""Values of a JSON file that know where they stand, for errors that say it."""

import difflib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.files import json_files, user_paths

_MOST = 2**31 - 1  # Of pixels and frames.


class JsonField:
  """A value, and its place in a file such as `recordings[2].cameras[0]`.

  Attributes:
    value: As `json` gives it.
    name: The place in the file; empty for the whole of it.
    path: The file.
  """

  def __init__(self, value: Any, name: str, path: pathlib.Path):
    self.value = value
    self.name = name
    self.path = path

  def error(self, text: str) -> DataError:
    """Returns an error that names the file and the field, and says `text`."""
    return DataError(f"{self.path}: {self.name or 'the file'} {text}")

  def entries(self) -> list["JsonField"]:
    """Returns the entries of a list; raises DataError if there are none."""
    if not isinstance(self.value, list) or not self.value:
      raise self.error("must be a list with at least one entry.")
    return [
      JsonField(value, f"{self.name}[{i}]", self.path)
      for i, value in enumerate(self.value)
    ]

  def fields(
    self, required: Sequence[str], optional: Sequence[str]
  ) -> dict[str, "JsonField"]:
    """Returns the fields of an object; raises DataError for unknown ones."""
    if not isinstance(self.value, dict):
      raise self.error("must be an object, {...}.")
    known = (*required, *optional)
    for key in self.value:
      if key not in known:
        nearest = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        raise self.error(
          f"has the unknown field {key!r}. {hint}Known are {', '.join(known)}."
        )
    for key in required:
      if key not in self.value:
        raise self.error(f"lacks the field {key!r}.")
    prefix = f"{self.name}." if self.name else ""
    return {
      key: JsonField(value, f"{prefix}{key}", self.path)
      for key, value in self.value.items()
    }

  def text(self) -> str:
    """Returns a text; raises DataError if it is empty or none."""
    if not isinstance(self.value, str) or not self.value.strip():
      raise self.error(f"is {self.value!r}; it must be a text.")
    try:
      self.value.encode()
    except UnicodeEncodeError:
      raise self.error(
        f"is {self.value!r}, which has a half of a letter (\\ud800 to "
        "\\udfff): write the letter itself, or both halves."
      ) from None
    return self.value

  def choice(self, choices: Sequence[str]) -> str:
    """Returns a text that is one of some; raises DataError otherwise."""
    if self.value not in choices:
      nearest = difflib.get_close_matches(str(self.value), choices, n=1)
      hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
      raise self.error(
        f"is {self.value!r}; it must be one of {', '.join(choices)}.{hint}"
      )
    return self.value

  def whole_number(self, low: int) -> int:
    """Returns an int of at least `low`; raises DataError otherwise."""
    is_int = isinstance(self.value, int) and not isinstance(self.value, bool)
    if not is_int or not low <= self.value <= _MOST:
      raise self.error(
        f"is {self.value!r}; it must be a whole number of at least {low}"
        + (f" and at most {_MOST}." if is_int and self.value > _MOST else ".")
      )
    return self.value

  def array(self, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns finite numbers; raises DataError for others.

    Args:
      shape: None stands for any length.
    """
    try:
      array = np.array(self.value)
    except ValueError:  # Rows of different lengths.
      array = np.array(None)
    size = " x ".join("n" if n is None else str(n) for n in shape)
    if array.dtype.kind not in "iuf" or array.ndim != len(shape):
      kind = "a list of" if shape == (None,) else size
      raise self.error(f"must be {kind} numbers.")
    for found, wanted in zip(array.shape, shape, strict=True):
      if wanted not in (None, found):
        found_size = " x ".join(map(str, array.shape))
        raise self.error(f"has {found_size} numbers; it must be {size}.")
    if not np.isfinite(array).all():
      raise self.error("has numbers that are not finite.")
    return array.astype(np.float64)

  def file(self) -> pathlib.Path:
    """Returns a path, relative to the JSON file's folder, that exists."""
    if not isinstance(self.value, str) or not self.value.strip():
      raise self.error(f"is {self.value!r}; it must be a text.")
    path = self.path.parent / user_paths.expanded(self.value)
    try:  # A name may have bytes that are no UTF-8, as Python escapes them.
      is_there = path.exists()
    except (OSError, ValueError):  # No name that a file can have.
      is_there = False
    if not is_there:
      raise self.error(f"is {self.value!r}, but {path} does not exist.")
    return path


def read_json(path: pathlib.Path) -> JsonField:
  """Returns the content of a file.

  Raises:
    DataError: It cannot be read, or is no JSON.
  """
  try:
    content = json_files.read(path, Any, halves_of_letters=True)
  except OSError as error:
    raise DataError(f"{path} cannot be read ({error.strerror}).") from error
  except json_files.JsonError as error:
    raise DataError(f"{path} is no JSON ({error}).") from error
  return JsonField(content, "", path)
