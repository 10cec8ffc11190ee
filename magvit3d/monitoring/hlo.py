"""Reads the text of programs that XLA compiled."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
SIZES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
# Name, type of the result, kind, and the rest, which begins with operands.
INSTRUCTION = re.compile(
  r"^  (?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$"
)
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")


def computations(text: str) -> tuple[dict[str, list[str]], str]:
  """Returns the lines of each computation by name, and which is the entry."""
  found, name, entry = {}, "", ""
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      name = match[2]
      found[name] = []
      entry = name if match[1] else entry
    elif name and line.startswith("  "):
      found[name].append(line)
  return found, entry


def called(line: str) -> Iterator[str]:
  """Yields the computations that an instruction calls."""
  pattern = r"(?:body|to_apply|calls|\w+_computation)=%?([\w.\-]+)"
  yield from re.findall(pattern, line)
  for group in re.findall(r"branch_computations=\{([^}]*)\}", line):
    yield from re.findall(r"%?([\w.\-]+)", group)


def num_rounds(line: str) -> int:
  """Returns how often a loop runs; 1 if XLA does not know."""
  match = _ROUNDS.search(line)
  return int(match[1]) if match else 1


def operands(rest: str) -> list[str]:
  """Returns the names that an instruction reads."""
  return re.findall(r"%([\w.\-]+)", rest.split("), ")[0])


def arrays(text: str) -> Iterator[tuple[str, list[int]]]:
  """Yields types and shapes of arrays."""
  for kind, shape in _ARRAY.findall(text):
    if kind in SIZES:
      yield kind, [int(size) for size in shape.split(",") if size]


def further_flops(text: str, num_counted: int = 1) -> float:
  """Returns the FLOPs of products of matrices in all rounds of loops but one.

  XLA counts one round. Convolutions are not told.

  Args:
    text: Of the program.
    num_counted: Rounds of a loop, outside of others, that are counted already.
  """
  if " while(" not in text:
    return 0.0
  found, entry = computations(text)
  return _further_flops(found, entry, 1, num_counted)


def _further_flops(
  found: Mapping[str, Sequence[str]], name: str, times: int, num_counted: int
) -> float:
  total, types = 0.0, {}
  for line in found.get(name, ()):
    match = INSTRUCTION.match(line)
    if not match:
      continue
    result_name, result, kind, rest = match.groups()
    types[result_name] = result
    if kind == "dot":
      total += (times - 1) * _product_flops(types, result, rest)
    rounds = num_rounds(line) if kind == "while" else 1
    is_counted = times == 1 and rounds == num_counted
    inner = times if is_counted else times * rounds
    for other in called(line):
      total += _further_flops(found, other, inner, num_counted)
  return total


def _product_flops(types, result, rest) -> float:
  left = types.get(next(iter(operands(rest)), ""), "")
  contracted = _CONTRACTED.search(rest)
  shapes = [shape for text in (left, result) for _, shape in arrays(text)]
  if len(shapes) != 2 or not contracted:
    return 0.0
  inner = [shapes[0][int(axis)] for axis in contracted[1].split(",") if axis]
  return 2.0 * math.prod(inner) * math.prod(shapes[1])
