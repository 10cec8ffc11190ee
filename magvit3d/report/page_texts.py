"""How the report writes numbers, and says that something is not there."""

import html
import importlib.resources
import math
from collections.abc import Iterable

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


def column_decimals(head: str, values: Iterable[object]) -> int | None:
  """Returns the decimals that all numbers of a column have; None for counts.

  Args:
    head: Of the column; its last word may be a unit.
    values: Of the column. Without a known unit the largest has four digits.
  """
  numbers = [value for value in values if is_finite(value)]
  if all(isinstance(number, int) for number in numbers):
    return None
  words = head.split() or [""]
  if words[-1].strip("()") in _UNIT_DECIMALS:
    return _UNIT_DECIMALS[words[-1].strip("()")]
  largest = max(abs(number) for number in numbers)
  if not largest:
    return _MAX_DECIMALS
  return min(max(3 - math.floor(math.log10(largest)), 0), _MAX_DECIMALS)


def cell_html(value: object, decimals: int | None = None) -> str:
  """Returns a value as HTML; the interval of "0.1 [0, 0.2]" stands below it."""
  text, bracket, interval = value_text(value, decimals).partition(" [")
  small = f"<small>{html.escape('[' + interval)}</small>" if bracket else ""
  return html.escape(text) + small


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


def read_text(name: str) -> str:
  """Returns a file that lies beside this one."""
  package = importlib.resources.files("magvit3d.report")
  return package.joinpath(name).read_text(encoding="utf-8")
