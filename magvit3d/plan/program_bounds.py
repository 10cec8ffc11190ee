"""What a program compiled for a GPU cannot be faster than.

Each operation of the optimised program either moves bytes or multiplies: the
longer of the two times, with the card's bandwidth and its rate of bfloat16
products. The sum of both over all operations is a bound that no run beats, as
far as nothing runs at the same time and caches do not help.
"""

import collections
import dataclasses
import math
import re

from magvit3d.monitoring import hlo
from magvit3d.plan.described_devices import KINDS

_H100 = KINDS["h100"]
BYTES_PER_SECOND = _H100.bytes_per_second
FLOPS_PER_SECOND = _H100.flops_per_second
_COLLECTIVE = re.compile(
  r"= (\(?[^=\n]*?) (all-gather|all-reduce|reduce-scatter|all-to-all|"
  r"collective-permute)(?:-start)?\("
)
# Scratch memory, the last result of calls into cuBLAS and cuDNN: 32 MiB of each
# small product, which nobody must move.
_WORKSPACE = re.compile(r", [su]8\[\d+\]\{0\}\)$")
# Give other names to values, or only hold them.
_FREE = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant"}
# Read of their first operand no more than they return.
_SLICES = {"slice", "dynamic-slice", "gather"}
_UPDATE = "dynamic-update-slice"  # Writes its second operand into the first.


@dataclasses.dataclass
class Bounds:
  """Of a program.

  Attributes:
    seconds: By kind of operation.
    flops: Of convolutions and matrix products.
    moved_bytes: Read and written.
    calls: Kinds of calls into libraries, and how many.
    num_plain_convolutions: That no library computes.
  """

  seconds: collections.Counter
  flops: float
  moved_bytes: float
  calls: collections.Counter
  num_plain_convolutions: int


def read(text: str) -> Bounds:
  """Reads the text of an optimised program.

  Of a loop that does not say how often it runs, one round counts.
  """
  computations, entry = hlo.computations(text)
  bounds = Bounds(
    collections.Counter(),
    0.0,
    0.0,
    collections.Counter(),
    len(re.findall(r" convolution\(", text)),
  )
  _walk(computations, entry, bounds, 1)
  return bounds


def collectives(text: str) -> list[tuple[int, str, str]]:
  """Returns what moves between devices: bytes, operation and type of each.

  The largest come first. Bytes are those of the results on one device.
  """
  found = [
    (_num_bytes(match[1]), match[2], match[1])
    for match in _COLLECTIVE.finditer(text)
  ]
  return sorted(found, reverse=True)


def _walk(computations, name, bounds, times) -> None:
  types = {}
  for line in computations[name]:
    match = hlo.INSTRUCTION.match(line)
    if not match:
      continue
    result_name, result, kind, rest = match.groups()
    types[result_name] = result
    if kind in _FREE:
      continue
    called = [n for n in hlo.called(line) if n in computations]
    if kind in ("while", "call", "conditional"):
      # Of a condition's branches the longest; of a loop the body.
      longest = max(called, key=lambda n: len(computations[n]), default=None)
      if longest:
        more = hlo.num_rounds(line)
        _walk(computations, longest, bounds, times * more)
      continue
    operands = [types.get(n, "") for n in hlo.operands(rest)]
    result = _WORKSPACE.sub(")", result) if "__cu" in line else result
    if kind == "fusion":
      moved = _num_moved_by_fusion(computations[called[0]], operands)
    elif kind in _SLICES:
      moved = 2 * _num_bytes(result)
    elif kind == _UPDATE:
      moved = 2 * _num_bytes(operands[1])
    else:
      moved = _num_bytes(result) + sum(map(_num_bytes, operands))
    flops = 0.0
    if kind == "custom-call":
      kind = re.search(r'custom_call_target="([^"]*)"', line)[1]
      bounds.calls[kind] += 1
      flops = _flops(line, kind, result, operands)
    elif kind == "fusion":
      kind = re.sub(r"[._\d]+$", "", result_name)
    seconds = max(moved / BYTES_PER_SECOND, flops / FLOPS_PER_SECOND)
    bounds.seconds[kind] += times * seconds
    bounds.flops += times * flops
    bounds.moved_bytes += times * moved


def _num_moved_by_fusion(lines: list[str], operands: list[str]) -> int:
  """Bytes that a fusion reads and writes: of slices no more than these.

  Without this, gradients that all devices sum as one array and then take apart
  would be read whole for each parameter, and what a loop makes part by part
  would be written whole in each round.
  """
  numbers, sliced, whole = {}, collections.Counter(), set()
  sizes, written = {}, 0  # Of the last, which is the root.
  for line in lines:
    match = hlo.INSTRUCTION.match(line)
    if not match:
      continue
    name, result, kind, rest = match.groups()
    sizes[name] = written = _num_bytes(result)
    if kind == "parameter":
      numbers[name] = int(rest.split(")")[0])
      continue
    first, *others = hlo.operands(rest) or [""]
    if kind == "tuple":
      written = sum(sizes.get(part, 0) for part in (first, *others))
      continue
    if kind in _SLICES:
      sliced[first] += written
    elif kind == _UPDATE:
      sizes[name] = written = sizes.get(others[0], 0)
    else:
      whole.add(first)
    whole.update(others)
  bytes_of = {
    name: _num_bytes(operands[number]) for name, number in numbers.items()
  }
  return written + sum(
    size if name in whole else min(size, sliced[name])
    for name, size in bytes_of.items()
  )


def _num_bytes(text: str) -> int:
  return sum(
    hlo.SIZES[kind] * math.prod(shape) for kind, shape in hlo.arrays(text)
  )


def _flops(line: str, kind: str, result: str, operands: list[str]) -> float:
  """Of a call into cuDNN or cuBLAS; 0 of others."""
  if not operands:
    return 0.0
  shapes = [next(hlo.arrays(text), ("", []))[1] for text in operands]
  out = next(hlo.arrays(result), ("", []))[1]
  if "$conv" in kind:
    labels = re.search(r"dim_labels=[^_]+_[^-]+->(\w+)", line)[1]
    feature = labels.index("f")
    kernel, image = shapes[1], out
    if "BackwardFilter" in kind:
      kernel, image = out, shapes[1]
    elif "BackwardInput" in kind:
      image = shapes[0]
    return 2.0 * math.prod(kernel) * math.prod(image) / image[feature]
  if "fmha" in kind:  # (b, n, h, d); backward five products, forward two.
    num_products = 5 if "Backward" in kind else 2
    return 2.0 * num_products * math.prod(shapes[0]) * shapes[1][1]
  if "matmul" in kind or "gemm" in kind:
    axes = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', line)
    inner = [shapes[0][int(axis.strip('"'))] for axis in axes[1].split(",")]
    return 2.0 * math.prod(out) * math.prod(inner)
  return 0.0
