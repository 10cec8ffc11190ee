"""Checks of flags; all raise ValueError with the flag's name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def check_type(name: str, value: Any, expected: type) -> None:
  """Checks a value's type; floats may be given as int, and are finite."""
  if expected is float:
    is_good = isinstance(value, int | float) and math.isfinite(value)
    is_good = is_good and not isinstance(value, bool)
  elif expected is int:
    is_good = isinstance(value, int) and not isinstance(value, bool)
  else:
    is_good = isinstance(value, expected)
  if not is_good:
    raise ValueError(f"--{name}={value!r} is not a valid {expected.__name__}.")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
  """Checks that a value is one of some."""
  if value not in choices:
    raise ValueError(
      f"--{name}={value} is not known: give one of {', '.join(choices)}."
    )


def check_range(name: str, value: float, low: float, high: float) -> None:
  """Checks that a value is in [low, high]."""
  if not low <= value <= high:
    raise ValueError(
      f"--{name}={value} is out of range: give a value from {low} to {high}."
    )


def check_settled(kind: str, options: Any, wanted: Mapping[str, Any]) -> None:
  """Checks flags that the flag `kind` allows a single value of."""
  for name, value in wanted.items():
    found = getattr(options, name)
    if found != value:
      raise ValueError(
        f"--{kind} is for --{name}={value}: drop --{name}={found}."
      )


def check_interval(name: str, low: float, high: float, limit: float) -> None:
  """Checks the flags `name`_min and `name`_max: 0 < low <= high <= limit."""
  if not 0 < low <= high <= limit:
    raise ValueError(
      f"--{name}_min={low} and --{name}_max={high} are no interval: they must "
      f"be positive, in this order, and at most {limit}."
    )
