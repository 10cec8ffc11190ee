"""Tables of a scores.json without `schema_version`, which may hold anything.

Until then cells could be texts such as "0.0123 [0.0101, 0.0145]", nothing said
what is better, and a single stage wrote {title: {row: {column: value}}}. All of
this is guessed here, and nowhere else.
"""

import re
from collections.abc import Mapping
from typing import Any

from magvit3d.evaluation.tables import Cell, Column, Direction, Role, Row, Table

_UP = r"\b(psnr|ssim|iou|accuracy|inception score)\b"
_DOWN = (
  r"\b(ade|fde|errors?|residual|failures|fvd|lpips|frechet|centroid)\b|, m$"
)
_UP_TITLES = ("probes: classes",)  # Their columns name questions.
# Columns that hold a baseline, or a count.
_NEITHER = r"most frequent|^real|^copy|^first frame|^n$|\b(clips|tokens|bits)\b"
# A row with one of these in its name is a trivial baseline, where the table
# does not list its "baselines".
_BASELINE_WORDS = (
  "baseline",
  "background only",
  "copy",
  "most frequent",
  "constant velocity",
  "constant-velocity",
  "chance",
)
_WITH_UNIT = re.compile(r"(.+?)(?:, (m|dB|px)| \((m|dB|px)\))")
# What tables call the columns of single stages today.
_NAMES = {"psnr_db": "PSNR, dB", "ssim": "SSIM", "dead_codes": "dead codes"}


def tables(scores: Mapping[str, Any]) -> list[Table]:
  """Returns the tables; what is none is left out."""
  found = scores.get("tables")
  if isinstance(found, dict):
    found = [
      _from_rows(title, rows, scores.get("num_clips"))
      for title, rows in found.items()
      if isinstance(rows, dict)
    ]
  return [_table(entry) for entry in _items(found) if isinstance(entry, dict)]


def _from_rows(title: str, rows: dict[str, Any], n: object) -> dict[str, Any]:
  """A single stage's table, as those of whole runs."""
  rows = {name: row for name, row in rows.items() if isinstance(row, dict)}
  columns = list(dict.fromkeys(key for row in rows.values() for key in row))
  return {
    "title": title,
    "n": n,
    "columns": ["", *(_NAMES.get(column, column) for column in columns)],
    "rows": [[name, *map(row.get, columns)] for name, row in rows.items()],
  }


def _table(entry: Mapping[str, Any]) -> Table:
  title = str(entry.get("title"))
  rows = [row for row in _items(entry.get("rows")) if isinstance(row, list)]
  rows = [row for row in rows if row]
  heads = [str(head) for head in _items(entry.get("columns"))]
  if rows and len(heads) == len(rows[0]) - 1:
    heads.insert(0, "")  # `columns` names the values only.
  row_heading, *heads = heads or [""]
  split, n = entry.get("split"), entry.get("n")
  table_rows = tuple(
    _row(str(name), values, len(heads), entry) for name, *values in rows
  )
  is_by_row = any(row.direction for row in table_rows)
  by_row: Direction = "by row" if is_by_row else None
  return Table(
    title,
    str(entry.get("note") or ""),
    None if split is None else str(split),
    n if isinstance(n, int) else None,
    tuple(_column(head, title, by_row) for head in heads),
    table_rows,
    row_heading,
    # Of a table that is all in metres, heads are names of groups.
    "m" if "in metres" in title else "",
  )


def _column(head: str, title: str, by_row: Direction) -> Column:
  direction = None
  if not re.search(_NEITHER, head.lower()):
    direction = _direction(head) or _direction(title) or by_row
  with_unit = _WITH_UNIT.fullmatch(head)
  if not with_unit:
    return Column(head, "", direction)
  return Column(with_unit[1], with_unit[2] or with_unit[3], direction)


def _direction(text: str) -> Direction:
  text = text.lower().replace("_", " ")
  is_up = bool(re.search(_UP, text)) or text in _UP_TITLES
  is_down = bool(re.search(_DOWN, text))
  return None if is_up == is_down else "higher" if is_up else "lower"


def _row(
  name: str, values: list, num_cells: int, entry: Mapping[str, Any]
) -> Row:
  role: Role = "floor" if name.startswith("floor") else "model"
  if "baselines" in entry:
    is_baseline = name in _items(entry["baselines"])
  else:
    is_baseline = any(word in name.lower() for word in _BASELINE_WORDS)
  cells = [_cell(value) for value in values[:num_cells]]
  cells += [Cell(None)] * (num_cells - len(cells))
  return Row.of(
    name, "baseline" if is_baseline else role, cells, _direction(name)
  )


def _cell(value: object) -> Cell:
  """A number, or a text of one with its interval; nothing for other texts."""
  if isinstance(value, int | float) and not isinstance(value, bool):
    return Cell(value)
  if not isinstance(value, str):
    return Cell(None)
  try:
    mean, *interval = re.split(r" \[|, ", value.removesuffix("]"))
    low, high = map(float, interval) if interval else (None, None)
    return Cell(float(mean), low, high)
  except ValueError:
    return Cell(None)


def _items(value: object) -> list:
  return value if isinstance(value, list) else []
