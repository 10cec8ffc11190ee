"""Puts loaded parameters into a network's tree, leaf by leaf.

Every leaf has one outcome. Loaded: as it is. Inflated: made 3D. Missing: the
network has it, the file has not. Unexpected: the other way round. Shape: both
have it, but the shapes do not fit. The last three are errors unless allowed by
name; then a missing leaf and one of another shape keep the network's value,
and an unexpected one is dropped.
"""

import collections
import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.upstream import inflation as inflating

LOADED, INFLATED = "loaded", "inflated"
MISSING, UNEXPECTED, SHAPE = "missing", "unexpected", "shape"
OUTCOMES = (LOADED, INFLATED, MISSING, UNEXPECTED, SHAPE)
MISMATCHES = (MISSING, UNEXPECTED, SHAPE)
_NUM_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Leaf:
  """What happened to one parameter.

  Attributes:
    name: Tree and path, 'ema_params/decoder/Conv_0/kernel'.
    outcome: One of `OUTCOMES`.
    source_shape: In the file; None where it has no such leaf.
    target_shape: In the network; None where it has no such leaf.
  """

  name: str
  outcome: str
  source_shape: tuple[int, ...] | None
  target_shape: tuple[int, ...] | None

  def __str__(self) -> str:
    shapes = [
      s for s in (self.source_shape, self.target_shape) if s is not None
    ]
    return f"{self.name} {' -> '.join(map(str, dict.fromkeys(shapes)))}"


@dataclasses.dataclass(frozen=True)
class MatchReport:
  """What happened to all parameters of some trees."""

  leaves: tuple[Leaf, ...]

  def counts(self) -> dict[str, int]:
    """Number of leaves for each of `OUTCOMES`."""
    found = collections.Counter(leaf.outcome for leaf in self.leaves)
    return {outcome: found[outcome] for outcome in OUTCOMES}

  def kept(self) -> list[str]:
    """Names of the leaves for which the network's own value stays."""
    return [x.name for x in self.leaves if x.outcome in (MISSING, SHAPE)]


class MismatchError(UserError):
  """A checkpoint does not fit the network.

  Attributes:
    report: All leaves, those that fit too.
  """

  def __init__(self, message: str, report: MatchReport):
    super().__init__(message)
    self.report = report


def match(
  source: PyTree,
  target: PyTree,
  inflation: str | None = None,
  allow: str = "",
) -> tuple[PyTree, MatchReport]:
  """Puts one tree into another; see `match_trees`."""
  trees, report = match_trees(
    {"params": source}, {"params": target}, inflation, allow
  )
  return trees["params"], report


def match_trees(
  sources: Mapping[str, PyTree],
  targets: Mapping[str, PyTree],
  inflation: str | None = None,
  allow: str = "",
  source_name: str = "the checkpoint",
) -> tuple[dict[str, PyTree], MatchReport]:
  """Puts trees of parameters into trees of the same names.

  Args:
    sources: Arrays in nested dicts, by tree.
    targets: Arrays, or their shapes, in nested dicts, by tree.
    inflation: None, '2d->3d' or '2d->3d/average'.
    allow: Mismatches that are no error: patterns (`fnmatch`) of paths, after
      a category and a colon, separated by commas:
      'missing:decoder/Conv_2/*,unexpected:d_params/*'. A path is with or
      without its tree's name.
    source_name: For messages.

  Returns:
    trees: Like `targets`, with the targets' own leaves where one is missing
      or of another shape.
    report: Of all leaves.

  Raises:
    MismatchError: A mismatch is not allowed.
    UserError: An argument is wrong, or a pattern fits no mismatch.
  """
  patterns = _parse(allow)
  trees, report = compare(sources, targets, inflation)
  used, refused = set(), []
  for leaf in report.leaves:
    if leaf.outcome in MISMATCHES:
      fitting = [p for p in patterns if _fits(leaf, *p)]
      used.update(fitting)
      if not fitting:
        refused.append(leaf)
  if refused:
    message = _refusal(refused, inflation, source_name)
    raise MismatchError(message, report)
  unused = [f"{category}:{glob}" for category, glob in patterns - used]
  if unused:
    raise UserError(
      f"allow={allow!r}: {', '.join(sorted(unused))} fits no mismatch of "
      f"{source_name}. Correct it or leave it out."
    )
  return trees, report


def compare(
  sources: Mapping[str, PyTree],
  targets: Mapping[str, PyTree],
  inflation: str | None = None,
) -> tuple[dict[str, PyTree], MatchReport]:
  """As `match_trees`, with every mismatch allowed."""
  mode = inflating.mode_of(inflation)
  trees, leaves = {}, []
  for name in dict.fromkeys((*targets, *sources)):
    source, target = _flat(sources.get(name, {})), _flat(targets.get(name, {}))
    merged = dict(target)
    for path in sorted(source.keys() | target.keys()):
      leaf = _outcome(
        f"{name}/{path}", source.get(path), target.get(path), mode
      )
      leaves.append(leaf)
      if leaf.outcome == LOADED:
        merged[path] = source[path]
      elif leaf.outcome == INFLATED:
        depth = leaf.target_shape[0]
        kernel = np.asarray(source[path])
        merged[path] = inflating.inflate_leaf(kernel, depth, mode)
      if leaf.outcome in (LOADED, INFLATED):
        merged[path] = jnp.asarray(merged[path], target[path].dtype)
    if name in targets:
      trees[name] = traverse_util.unflatten_dict(merged, sep="/")
  return trees, MatchReport(tuple(leaves))


def _flat(tree: PyTree) -> dict[str, Any]:
  return traverse_util.flatten_dict(tree, sep="/")


def _outcome(name: str, source: Any, target: Any, mode: str | None) -> Leaf:
  shapes = [None if x is None else tuple(x.shape) for x in (source, target)]
  if source is None:
    outcome = MISSING
  elif target is None:
    outcome = UNEXPECTED
  elif shapes[0] == shapes[1]:
    outcome = LOADED
  elif mode is not None and inflating.is_inflatable(*shapes):
    outcome = INFLATED
  else:
    outcome = SHAPE
  return Leaf(name, outcome, *shapes)


def _parse(allow: str) -> set[tuple[str, str]]:
  patterns = set()
  for item in filter(None, (item.strip() for item in allow.split(","))):
    category, _, glob = item.partition(":")
    if category not in MISMATCHES or not glob:
      raise UserError(
        f"allow={allow!r}: {item!r} is no category and pattern, such as "
        f"missing:decoder/Conv_2/*; the categories are "
        f"{', '.join(MISMATCHES)}."
      )
    patterns.add((category, glob))
  return patterns


def _fits(leaf: Leaf, category: str, glob: str) -> bool:
  path = leaf.name.partition("/")[2]
  return leaf.outcome == category and any(
    fnmatch.fnmatchcase(name, glob) for name in (leaf.name, path)
  )


def _refusal(
  refused: Sequence[Leaf], inflation: str | None, source_name: str
) -> str:
  parts = []
  for category in MISMATCHES:
    found = [leaf for leaf in refused if leaf.outcome == category]
    if found:
      shown = "; ".join(map(str, found[:_NUM_SHOWN]))
      more = f"; {len(found) - _NUM_SHOWN} more" if found[_NUM_SHOWN:] else ""
      parts.append(f"{len(found)} {_TITLES[category]} ({shown}{more})")
  advice = "Use the config it was trained with, or allow them by name: "
  if not inflation and any(
    leaf.outcome == SHAPE
    and inflating.is_inflatable(leaf.source_shape, leaf.target_shape)
    for leaf in refused
  ):
    advice = "Its kernels are 2D: inflate them (inflation=2d->3d). Or allow: "
  example = f"{refused[0].outcome}:{refused[0].name}"
  return (
    f"{source_name} does not fit the config: {', '.join(parts)}. {advice}"
    f"allow={example}."
  )


_TITLES = {
  MISSING: "missing in it",
  UNEXPECTED: "unknown to the network",
  SHAPE: "of another shape",
}
