"""How the report writes numbers, and says that something is not there."""

import html
import importlib.resources
import math
from collections.abc import Iterable, Sequence

from magvit3d.evaluation.tables import Cell, Table

_UNIT_DECIMALS = {"m": 4, "dB": 2, "px": 3}
_MAX_DECIMALS = 4


def is_finite(value: object) -> bool:
  """Whether a value is a number that is neither NaN nor infinite."""
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  return is_number and math.isfinite(value)


def value_text(value: object, decimals: int | None = None) -> str:
  """Returns a number as text; what is none as it is.

  Args:
    value: Counts are written in full.
    decimals: Of any number; None: four significant digits, none of counts.
  """
  if value is None:
    return "–"
  if isinstance(value, bool) or not isinstance(value, int | float):
    return str(value)
  if not math.isfinite(value):
    return "not finite"
  if decimals is not None:
    return f"{value:,.{decimals}f}"
  if isinstance(value, int):
    return f"{value:,}"
  return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def column_decimals(unit: str, values: Iterable[object]) -> int | None:
  """Returns the decimals that all numbers of a column have; None for counts.

  Args:
    unit: Of the column; "" for none.
    values: Of the column. Without a known unit the largest has four digits,
      and numbers up to 1 four decimals.
  """
  numbers = [value for value in values if is_finite(value)]
  if all(isinstance(number, int) for number in numbers):
    return None
  if unit in _UNIT_DECIMALS:
    return _UNIT_DECIMALS[unit]
  largest = max(abs(number) for number in numbers)
  if largest <= 1:
    return _MAX_DECIMALS
  return max(3 - math.floor(math.log10(largest)), 0)


def table_decimals(tables: Sequence[Table]) -> dict[str, int | None]:
  """Returns `column_decimals` by the headings of some tables' columns."""
  found: dict[str, tuple[str, list[object]]] = {}
  for table in tables:
    for index, column in enumerate(table.columns):
      unit = column.unit or table.unit
      _, values = found.setdefault(column.heading, (unit, []))
      values += [row.cells[index].value for row in table.rows]
  return {
    heading: column_decimals(*column) for heading, column in found.items()
  }


def cell_text(cell: Cell, decimals: int | None) -> tuple[str, str]:
  """Returns a score and its interval in brackets, or "", as text.

  Args:
    cell: The score.
    decimals: See `column_decimals`.
  """
  text = value_text(cell.value, decimals)
  if cell.low is None:
    return text, ""
  low, high = (value_text(end, decimals) for end in (cell.low, cell.high))
  return text, f"[{low}, {high}]"


def cell_html(cell: Cell, decimals: int | None) -> str:
  """Returns a score as HTML; its interval stands below it."""
  text, interval = cell_text(cell, decimals)
  return text + (f"<small>{interval}</small>" if interval else "")


def table_facts(table: Table) -> str:
  """Returns of which split and of how many samples a table is."""
  n = "unknown" if table.n is None else table.n
  return f"{table.split or 'unknown'} split, n = {n}"


def duration_text(seconds: int | float) -> str:
  """Returns seconds, minutes, or hours and minutes."""
  if seconds < 60:
    return f"{seconds:.1f} s"
  minutes = round(seconds / 60)
  if minutes < 60:
    return f"{minutes} min"
  return f"{minutes // 60} h {minutes % 60:02d} min"


def metres_text(value: float | None) -> str:
  """Returns metres to the millimetre, or that they are unknown."""
  return f"{value:.3f} m" if is_finite(value) else "unknown"


def say_missing(reason: str) -> str:
  """Returns a paragraph that stands where something is missing."""
  return f'<p class="missing">{html.escape(reason)}</p>'


def is_missing(section: str) -> bool:
  """Returns whether a section only says that something is missing."""
  return section.startswith('<p class="missing">')


def read_text(name: str) -> str:
  """Returns a file that lies beside this one."""
  package = importlib.resources.files("magvit3d.report")
  return package.joinpath(name).read_text(encoding="utf-8")
