"""Scores of several runs beside each other, and which of them is best."""

import dataclasses
from collections.abc import Mapping, Sequence

from magvit3d.evaluation.tables import Cell, Direction, Role, Table
from magvit3d.report.compared_runs import Run
from magvit3d.report.page_texts import (
  cell_text,
  is_finite,
  table_decimals,
  table_facts,
)

MISSING = "–"
_SIGNS = {"higher": 1, "lower": -1}


@dataclasses.dataclass(frozen=True)
class Line:
  """A score of all runs.

  Attributes:
    column: Its name and unit.
    cells: Of each run; None where it has no such score.
    decimals: Of all numbers, see `page_texts.column_decimals`.
    best: Numbers of the runs that are best; none if nothing tells.
  """

  column: str
  cells: list[Cell | None]
  decimals: int | None
  best: tuple[int, ...] = ()


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
  titles = dict.fromkeys(table.title for run in runs for table in run.tables)
  return [_align(title, runs, may_mark) for title in titles]


def _align(title: str, runs: Sequence[Run], may_mark: bool) -> Block:
  tables = [
    next((table for table in run.tables if table.title == title), None)
    for run in runs
  ]
  present = {
    run.name: table
    for run, table in zip(runs, tables, strict=True)
    if table is not None
  }
  decimals = table_decimals(list(present.values()))
  roles: dict[str, Role] = {}
  cells: dict[tuple[str, str], list[Cell | None]] = {}
  directions: dict[tuple[str, str], Direction] = {}
  for number, table in enumerate(tables):
    if table is None:
      continue
    for row in table.rows:
      if roles.get(row.name) != "baseline":
        roles[row.name] = row.role
      for column, cell in zip(table.columns, row.cells, strict=True):
        place = (row.name, column.heading)
        cells.setdefault(place, [None] * len(runs))[number] = cell
        known = directions.get(place)
        directions[place] = known or table.direction(column, row)
  lines = {
    (name, column): Line(column, cells[name, column], decimals[column])
    for name in roles
    for column in decimals
    if (name, column) in cells
  }
  warnings = _differences(present)
  differing = dict.fromkeys(
    name
    for (name, _), line in lines.items()
    if roles[name] == "baseline" and _differs(line)
  )
  if differing and not warnings:
    warnings.append(
      f"baselines differ ({', '.join(differing)}), so the runs were not scored "
      "alike"
    )
  if may_mark and not warnings:
    lines = {
      place: _mark(line, directions[place])
      if roles[place[0]] == "model"
      else line
      for place, line in lines.items()
    }
  groups = [
    (
      name,
      role == "baseline",
      [line for place, line in lines.items() if place[0] == name],
    )
    for name, role in roles.items()
  ]
  return Block(
    title,
    {name: table_facts(table) for name, table in present.items()},
    {name: table.note for name, table in present.items() if table.note},
    groups,
    warnings,
  )


def _differs(line: Line) -> bool:
  return (
    len({cell_text(cell, line.decimals) for cell in line.cells if cell}) > 1
  )


def _mark(line: Line, direction: Direction) -> Line:
  sign = _SIGNS.get(direction or "", 0)
  numbers = [cell.value if cell else None for cell in line.cells]
  known = [sign * number for number in numbers if is_finite(number)]
  if not sign or len(known) < 2 or min(known) == max(known):
    return line
  best = tuple(
    index
    for index, number in enumerate(numbers)
    if is_finite(number) and sign * number == max(known)
  )
  return dataclasses.replace(line, best=best)


def _differences(tables: Mapping[str, Table]) -> list[str]:
  warnings = []
  for key in ("split", "n"):
    found = {name: getattr(table, key) for name, table in tables.items()}
    if len(set(found.values())) > 1:
      each = ", ".join(f"{name}: {value}" for name, value in found.items())
      warnings.append(f"{key} differs ({each})")
  return warnings
