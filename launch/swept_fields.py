"""What a sweep changes: fields of a config, and the values of each point.

`--sweep` is a text, FIELD=VALUE,VALUE;FIELD=VALUE,VALUE, or a file. A JSON file
holds an object, a Python file a function `get_sweep()` that returns it:

grid     values of each field; each with each
zip      values of each field, equally many; the first of all, the second ...
random   num, seed, and fields: lists to choose from, or {min, max, log}
seeds    values of config.seed, or how many: 0, 1, 2 ...

What is there of these is multiplied: each point of one with each of the others.
"""

import itertools
import math
import pathlib
import random
import runpy
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from data_gen.files import json_files, user_paths
from magvit3d.errors import UserError

SEED = "seed"  # The field that makes points repetitions of each other.
Values = dict[str, str]  # By field, as written behind --config.FIELD=.
_Lists = dict[str, Annotated[list[Any], msgspec.Meta(min_length=1)]]


class _Range(msgspec.Struct, forbid_unknown_fields=True):
  """Numbers from `min` to `max`; whole ones if both are."""

  min: int | float
  max: int | float
  log: bool = False


class _Random(msgspec.Struct, forbid_unknown_fields=True):
  num: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
  fields: dict[str, Any]
  seed: int = 0


class _Sweep(msgspec.Struct, forbid_unknown_fields=True):
  grid: _Lists = {}
  zip: _Lists = {}
  random: _Random | None = None
  seeds: list[int] | int | None = None


def read(text: str) -> list[Values]:
  """Returns the values of each point of what --sweep says.

  Raises:
    UserError: It says nothing that can be read.
  """
  if text.endswith((".json", ".py")) and "=" not in text:
    path = user_paths.read(text)
    return _points(_read_file(path), f"--sweep={path}")
  grid = {}
  for part in filter(None, map(str.strip, _split(text, ";"))):
    field, sign, values = part.partition("=")
    field = field.strip().removeprefix("--").removeprefix("config.")
    if not sign or not field:
      raise UserError(
        f"--sweep={text}: {part!r} is not FIELD=VALUE,VALUE, and the whole is "
        "no name of a .json or .py file. Put ';' between fields."
      )
    if field in grid:
      raise UserError(f"--sweep={text}: {field} comes twice. Write it once.")
    grid[field] = [value.strip() for value in _split(values, ",")]
    if not all(grid[field]):
      raise UserError(
        f"--sweep={text}: {field} has a value of no letters. Take a comma out."
      )
  return _points(_Sweep(grid=grid), f"--sweep={text}")


def _split(text: str, sign: str) -> list[str]:
  """Splits a text, but not within brackets or quotes."""
  parts, depth, quote = [""], 0, ""
  for letter in text:
    if quote:
      quote = "" if letter == quote else quote
    elif letter in "\"'":
      quote = letter
    else:
      depth += (letter in "([{") - (letter in ")]}")
    if letter == sign and not depth and not quote:
      parts.append("")
    else:
      parts[-1] += letter
  return parts


def _read_file(path: pathlib.Path) -> _Sweep:
  try:
    if path.suffix == ".json":
      content = json_files.read(path)
    else:
      content = _call(path)
    return msgspec.convert(content, _Sweep)
  except (OSError, ValueError) as error:
    raise UserError(
      f"--sweep={path} cannot be read ({error}). docs/sweeps.md shows such a "
      "file."
    ) from error


def _call(path: pathlib.Path) -> Any:
  if not path.is_file():
    raise FileNotFoundError("no such file")
  try:
    return runpy.run_path(str(path))["get_sweep"]()
  except KeyError as error:
    raise ValueError(f"{error} is not in it") from error
  except Exception as error:
    raise ValueError(f"{type(error).__name__}: {error}") from error


def _points(sweep: _Sweep, name: str) -> list[Values]:
  """Returns the points; `name` is that of the flag, for messages."""
  lists = {
    field: [_text(value) for value in values]
    for field, values in (sweep.grid | sweep.zip).items()
  }
  lengths = {field: len(lists[field]) for field in sweep.zip}
  if len(set(lengths.values())) > 1:
    told = ", ".join(f"{field} {num}" for field, num in lengths.items())
    raise UserError(
      f"{name}: fields of zip need equally many values, but have: {told}."
    )
  factors = [[{field: v} for v in lists[field]] for field in sweep.grid]
  if sweep.zip:
    factors.append(
      [
        dict(zip(sweep.zip, values, strict=True))
        for values in zip(*(lists[f] for f in sweep.zip), strict=True)
      ]
    )
  if sweep.random:
    factors.append(_draw(sweep.random, name))
  if sweep.seeds is not None:
    seeds = sweep.seeds
    seeds = list(range(seeds)) if isinstance(seeds, int) else seeds
    factors.append([{SEED: str(seed)} for seed in seeds])
  named = [field for factor in factors for field in (factor or [{}])[0]]
  twice = next((field for field in named if named.count(field) > 1), None)
  if twice:
    raise UserError(f"{name}: {twice} is swept twice. Name it in one place.")
  points = [_merged(parts) for parts in itertools.product(*factors)]
  if not named or not points:
    raise UserError(f"{name}: there is no field with a value in it.")
  return points


def _merged(parts: Iterable[Mapping[str, str]]) -> Values:
  return {field: text for part in parts for field, text in part.items()}


def _draw(drawn: _Random, name: str) -> list[Values]:
  rng = random.Random(drawn.seed)
  choices = {}
  for field, given in drawn.fields.items():
    if isinstance(given, list) and given:
      choices[field] = given
      continue
    try:
      choices[field] = msgspec.convert(given, _Range)
      _check(choices[field])
    except ValueError as error:
      raise UserError(
        f"{name}: random.fields.{field} is neither a list of values nor an "
        f"object of min, max and log ({error})."
      ) from error
  return [
    {field: _text(_draw_one(rng, given)) for field, given in choices.items()}
    for _ in range(drawn.num)
  ]


def _check(span: _Range) -> None:
  if not span.min < span.max or not math.isfinite(span.max - span.min):
    raise ValueError("min is not below max")
  if span.log and span.min <= 0:
    raise ValueError("log needs a min above 0")


def _draw_one(rng: random.Random, given: Any) -> Any:
  if not isinstance(given, _Range):
    return rng.choice(given)
  is_whole = isinstance(given.min, int) and isinstance(given.max, int)
  if given.log:
    low, high = math.log(given.min), math.log(given.max)
    value = math.exp(rng.uniform(low, high))
    value = min(max(value, given.min), given.max)
    return round(value) if is_whole else float(f"{value:.4g}")
  if is_whole:
    return rng.randint(int(given.min), int(given.max))
  return float(f"{rng.uniform(given.min, given.max):.4g}")


def _text(value: Any) -> str:
  """A value as it stands on a command line."""
  return str(tuple(value) if isinstance(value, list) else value)
