"""How facts of a run are written as text."""

import math


def is_finite(value: object) -> bool:
  """Whether a value is a number that is neither NaN nor infinite."""
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  return is_number and math.isfinite(value)


def value_text(value: object) -> str:
  """Returns four significant digits of a number; counts in full."""
  if value is None:
    return "–"
  if isinstance(value, bool) or not isinstance(value, int | float):
    return str(value)
  if not math.isfinite(value):
    return "not finite"
  if isinstance(value, int):
    return f"{value:,}"
  return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def duration_text(seconds: int | float) -> str:
  """Returns seconds, minutes, or hours and minutes."""
  if seconds < 60:
    return f"{seconds:.1f} s"
  minutes = round(seconds / 60)
  if minutes < 60:
    return f"{minutes} min"
  return f"{minutes // 60} h {minutes % 60:02d} min"


def flatten(tree: dict, prefix: str = "") -> list[tuple[str, object]]:
  """Returns names with dots, and values, of nested objects."""
  flat = []
  for key, value in tree.items():
    if isinstance(value, dict):
      flat += flatten(value, f"{prefix}{key}.")
    else:
      flat.append((f"{prefix}{key}", value))
  return flat
