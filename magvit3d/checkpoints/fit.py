"""What differs between a checkpoint and the run that asks for it."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import PyTree

from magvit3d.checkpoints.checksums import leaves_by_path

_MAX_NAMED = 5  # Fields and leaves in a message.


def differences(
  record: Mapping[str, Any],
  identity: Mapping[str, Any],
  *,
  like: PyTree | None = None,
  sections: Collection[str] | None = None,
) -> list[str]:
  """Returns what differs, a phrase each.

  Args:
    record: Of the checkpoint.
    identity: Of the run, as it comes back from JSON.
    like: State of the run, or its shapes; compared where the identities agree.
    sections: The only ones of the identity to compare; None for all.
  """
  saved = record["identity"]
  if sections is not None:
    saved = {key: saved[key] for key in sections if key in saved}
  found = _differing(_flatten(saved), _flatten(identity), repr)
  if found or like is None:
    return found
  there = {
    path: _describe(leaf["shape"], leaf["dtype"])
    for path, leaf in record["leaves"].items()
  }
  here = {
    path: _describe(leaf.shape, np.dtype(leaf.dtype).name)
    for path, leaf in leaves_by_path(like).items()
  }
  return _differing(there, here, str)


def listed(names: list[str], separator: str = ", ") -> str:
  """Returns the first few names, and how many more there are."""
  num_more = len(names) - _MAX_NAMED
  more = f" and {num_more} more" if num_more > 0 else ""
  return separator.join(names[:_MAX_NAMED]) + more


def _differing(there, here, text) -> list[str]:
  def describe(values, key):
    return text(values[key]) if key in values else "missing"

  return [
    f"{key} is {describe(there, key)} there and {describe(here, key)} here"
    for key in sorted(there.keys() | here.keys())
    if (key in there) != (key in here) or there.get(key) != here.get(key)
  ]


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {prefix: tree}
  flat = {}
  for key, value in tree.items():
    flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
  return flat


def _describe(shape: Collection[int], dtype: str) -> str:
  return f"{dtype}{list(shape)}"
