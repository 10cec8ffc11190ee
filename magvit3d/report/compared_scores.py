"""Scores of several runs beside each other, and which of them is best."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from magvit3d.report.compared_runs import Run
from magvit3d.report.page_texts import is_finite, value_text

MISSING = "–"
_UP = r"\b(psnr|ssim|iou|accuracy|inception score)\b"
_DOWN = (
  r"\b(ade|fde|errors?|residual|failures|fvd|lpips|frechet|centroid)\b|, m$"
)
_UP_TITLES = ("probes: classes",)  # Their columns name questions.
# Columns that hold a baseline, or a count.
_NEITHER = r"most frequent|^real|^copy|^first frame|^n$|\b(clips|tokens|bits)\b"


@dataclasses.dataclass(frozen=True)
class Line:
  """A score of all runs.

  Attributes:
    column: Its name.
    values: Of each run; `MISSING` where there is none.
    best: Numbers of the runs that are best; none if nothing tells.
  """

  column: str
  values: list[Any]
  best: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Block:
  """A table of all runs that have it.

  Attributes:
    title: Of the table.
    facts: Split and n, by name of each run that has it.
    notes: The same for what one must know to read it.
    groups: Name of a row, whether it is a baseline, and its scores.
    warnings: Why its numbers cannot be compared.
  """

  title: str
  facts: dict[str, str]
  notes: dict[str, str]
  groups: list[tuple[str, bool, list[Line]]]
  warnings: list[str]


def direction(title: str, column: str, row: str = "") -> int:
  """Returns 1 if more is better, -1 if less is, 0 if that is not known.

  Args:
    title: Of a table.
    column: Of the score, which may name what it is of, or only a unit.
    row: Says it where neither does.
  """
  if re.search(_NEITHER, column.lower()):
    return 0
  for text in (column, title, row):
    text = text.lower().replace("_", " ")
    is_up = bool(re.search(_UP, text)) or text in _UP_TITLES
    is_down = bool(re.search(_DOWN, text))
    if is_up != is_down:
      return 1 if is_up else -1
  return 0


def data_warnings(runs: Sequence[Run]) -> list[str]:
  """Returns why the runs' data cannot be taken for the same."""
  warnings = []
  unknown = [run.name for run in runs if run.data_sha256 is None]
  if unknown:
    warnings.append(
      f"The data of {', '.join(unknown)} are not known: the scores do not name "
      "them, and there is no manifest."
    )
  by_data = {}
  for run in runs:
    if run.data_sha256 is not None:
      by_data.setdefault(run.data_sha256, []).append(run.name)
  if len(by_data) > 1:
    sets = "; ".join(
      f"{', '.join(names)}: manifest {digest[:12]}…"
      for digest, names in by_data.items()
    )
    warnings.append(f"The runs were scored on different data. {sets}.")
  return warnings


def align(runs: Sequence[Run], may_mark: bool) -> list[Block]:
  """Returns the union of the runs' tables, rows and columns.

  Args:
    runs: To compare.
    may_mark: Whether the best values may be marked at all.
  """
  titles = _union([[str(t.get("title")) for t in run.tables] for run in runs])
  return [_align(title, runs, may_mark) for title in titles]


def _align(title: str, runs: Sequence[Run], may_mark: bool) -> Block:
  tables = [
    next((t for t in run.tables if str(t.get("title")) == title), None)
    for run in runs
  ]
  present = [table for table in tables if table is not None]
  names = _union([[str(row[0]) for row in t["rows"]] for t in present])
  columns = _union([_columns(table) for table in present])
  baselines = {name for t in present for name in t.get("baselines") or ()}
  cells = [_cells(table) if table else {} for table in tables]
  warnings = _differences(runs, tables)
  groups, differing = [], []
  for name in names:
    lines = []
    for column in columns:
      values = [of_run.get((name, column), MISSING) for of_run in cells]
      if all(value is MISSING for value in values):
        continue
      texts = {value_text(v) for v in values if v is not MISSING}
      if name in baselines and len(texts) > 1:
        differing.append(name)
      lines.append(Line(column, values, ()))
    groups.append((name, name in baselines, lines))
  if differing and not warnings:
    which = ", ".join(dict.fromkeys(differing))
    warnings.append(
      f"baselines differ ({which}), so the runs were not scored alike"
    )
  if may_mark and not warnings:
    groups = [
      (name, is_baseline, [_mark(title, name, line) for line in lines])
      if not is_baseline and not name.startswith("floor")
      else (name, is_baseline, lines)
      for name, is_baseline, lines in groups
    ]
  present = {
    run.name: table
    for run, table in zip(runs, tables, strict=True)
    if table is not None
  }
  facts = {name: _facts(table) for name, table in present.items()}
  notes = {name: str(t["note"]) for name, t in present.items() if t.get("note")}
  return Block(title, facts, notes, groups, warnings)


def _mark(title: str, row: str, line: Line) -> Line:
  sign = direction(title, line.column, row)
  numbers = [_number(value) for value in line.values]
  known = [sign * number for number in numbers if number is not None]
  if not sign or len(known) < 2 or min(known) == max(known):
    return line
  best = tuple(
    index
    for index, number in enumerate(numbers)
    if number is not None and sign * number == max(known)
  )
  return dataclasses.replace(line, best=best)


def _number(value: object) -> float | None:
  """A number, or the one before an interval."""
  if isinstance(value, str):
    try:
      value = float(value.partition(" [")[0])
    except ValueError:
      return None
  return float(value) if is_finite(value) else None


def _differences(runs, tables) -> list[str]:
  warnings = []
  for key in ("split", "n"):
    found = {
      run.name: table.get(key)
      for run, table in zip(runs, tables, strict=True)
      if table is not None
    }
    if len(set(map(str, found.values()))) > 1:
      each = ", ".join(f"{name}: {value}" for name, value in found.items())
      warnings.append(f"{key} differs ({each})")
  return warnings


def _facts(table) -> str:
  split = table.get("split")
  known = f"{split} split" if split else "split unknown"
  return f"{known}, n = {table.get('n', 'unknown')}"


def _columns(table) -> list[str]:
  """Names of the values' columns."""
  columns = [str(column) for column in table.get("columns") or ()]
  width = max((len(row) for row in table["rows"]), default=1)
  return columns[1:] if len(columns) == width else columns


def _cells(table) -> dict[tuple[str, str], Any]:
  columns = _columns(table)
  return {
    (str(row[0]), column): _shown(value)
    for row in table["rows"]
    for column, value in zip(columns, row[1:], strict=False)
  }


def _shown(value: object) -> object:
  is_nan = isinstance(value, float) and not math.isfinite(value)
  return "not finite" if is_nan else value


def _union(lists: Sequence[Sequence[str]]) -> list[str]:
  return list(dict.fromkeys(item for items in lists for item in items))
