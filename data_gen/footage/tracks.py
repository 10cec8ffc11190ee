"""Reads the path of an object: CSV, or a list in a JSON file."""

import csv
import io
import pathlib

import numpy as np

from data_gen.files import plain_files
from data_gen.files.json_fields import JsonField

_AXES = ("x", "y", "z")
_MOST_BYTES = 64 * plain_files.MIB


def read_track(field: JsonField) -> tuple[np.ndarray, pathlib.Path | None]:
  """Reads the track that a field of the JSON holds or names.

  Args:
    field: A list of [x, y, z] or null, or the path of a CSV file: columns x,
      y, z, or a header that names them.

  Returns:
    track: float32 (n, 3), metres; a row is NaN if any of its numbers is
    unknown (empty, "nan" or null).
    path: The CSV file, or None.

  Raises:
    DataError: It cannot be read; the message names field, file and line.
  """
  path = None
  if isinstance(field.value, str):
    path = field.file()
    try:
      rows = _read_csv(path)
    except OSError as error:
      raise field.error(f"cannot be read: {path} ({error.strerror}).") from None
    except (ValueError, csv.Error) as error:
      raise field.error(f"cannot be read: {path}: {error}") from error
  else:
    rows = [_read_position(entry) for entry in field.entries()]
  with np.errstate(over="ignore"):
    track = np.array(rows, np.float32).reshape(-1, 3)
  if np.isinf(track).any():
    raise field.error("has numbers that are too large for 32 bits.")
  track[np.isnan(track).any(axis=1)] = np.nan
  return track, path


def _read_position(entry: JsonField) -> list[float]:
  numbers = [None] * 3 if entry.value is None else entry.value
  if not isinstance(numbers, list) or len(numbers) != 3:
    raise entry.error("must be [x, y, z] in metres, or null where unknown.")
  known = [x for x in numbers if x is not None and x == x]
  if known:
    JsonField(known, entry.name, entry.path).array((None,))
  return [np.nan if x is None else x for x in numbers]


def _read_csv(path: pathlib.Path) -> list[list[float]]:
  """Returns x, y, z of each row.

  Raises:
    ValueError: A row is wrong; the message has its number.
  """
  text = plain_files.read_bytes(path, _MOST_BYTES).decode("utf-8-sig")
  rows = list(csv.reader(io.StringIO(text, newline="")))
  while rows and not rows[-1]:  # Blank lines at the end.
    rows.pop()
  header = [cell.strip().lower() for cell in rows[0]] if rows else []
  has_header = set(_AXES) <= set(header)
  columns = [header.index(axis) for axis in _AXES] if has_header else [0, 1, 2]
  num_columns = len(header) if has_header else 3
  found = []
  for number, row in enumerate(rows[has_header:], start=1 + has_header):
    if row and len(row) != num_columns:
      raise ValueError(
        f"line {number} has {len(row)} columns, not {num_columns}. Give x,y,z "
        "in metres, or a first line that names the columns."
      )
    cells = [row[column].strip() for column in columns] if row else [""] * 3
    try:
      position = [float(cell) if cell else np.nan for cell in cells]
    except ValueError:
      raise ValueError(
        f"line {number} is {','.join(row)!r}; x, y and z must be numbers."
      ) from None
    if np.isinf(position).any():
      raise ValueError(f"line {number} has a number that is not finite.")
    found.append(position)
  if not found:
    raise ValueError("it has no rows.")
  return found
