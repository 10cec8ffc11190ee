"""Reads parts of a tree that Orbax wrote.

`flax.training.checkpoints` of newer Flax, this project's runs and its
converter all write such folders. Only the parts asked for are read, and none
whose arrays are said to be far larger than the folder is.
"""

import math
import pathlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from magvit3d.checkpoints.orbax import ocp
from magvit3d.errors import UserError

# Any of them tells such a folder; `checkpoint` is of the oldest versions.
MARKERS = frozenset({"_METADATA", "manifest.ocdbt", "checkpoint"})
# Bytes of arrays per byte of folder, with some to spare: Orbax compresses, but
# trained values hardly shrink. Zarr takes absent chunks for zeros, of any size.
_MAX_RATIO, _SPARE_BYTES = 64, 2**28


def read_structure(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the tree with `ArrayMetadata` and the like for leaves.

  Raises:
    UserError: The folder is damaged, or not Orbax's.
  """
  with _make_reader() as reader, _explaining(folder):
    metadata = reader.metadata(folder.absolute()).item_metadata
  if metadata is None:  # Orbax logs why.
    raise UserError(_text(folder, "its metadata are missing or damaged"))
  tree = metadata.tree
  if not isinstance(tree, Mapping):
    raise UserError(_text(folder, "it holds no map"))
  return dict(tree)


def read_parts(
  folder: pathlib.Path, paths: Collection[tuple[str, ...]]
) -> dict[tuple[str, ...], Any]:
  """Reads what lies at `paths`, as NumPy arrays.

  Raises:
    UserError: The folder is damaged, or not Orbax's.
  """
  structure = read_structure(folder)
  parts = {path: _at(structure, path) for path in paths}
  check_size(folder, parts)
  item = _prune(structure, set(paths), ())
  restore_args = jax.tree.map(
    lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item
  )
  with _make_reader() as reader, _explaining(folder):
    restored = reader.restore(
      folder.absolute(),
      args=ocp.args.PyTreeRestore(
        item=item, restore_args=restore_args, partial_restore=True
      ),
    )
  return {path: _at(restored, path) for path in paths}


def _make_reader() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.PyTreeCheckpointHandler())


@contextmanager
def _explaining(folder: pathlib.Path) -> Iterator[None]:
  """Turns whatever Orbax and its storage raise into a UserError."""
  try:
    yield
  except Exception as error:
    reason = f"{type(error).__name__}: {str(error).strip()[:300]}"
    raise UserError(_text(folder, reason)) from error


def _text(folder: pathlib.Path, reason: str) -> str:
  return (
    f"{folder} cannot be read as an Orbax checkpoint: {reason}. Copy the "
    "whole folder again, or name another one."
  )


def _at(tree: Any, path: tuple[str, ...]) -> Any:
  for key in path:
    tree = tree[key]
  return tree


def _prune(tree: Any, paths: set[tuple[str, ...]], here: tuple) -> Any:
  """The tree without what lies beside `paths`."""
  if here in paths:
    return tree
  return {
    key: _prune(tree[key], paths, (*here, key))
    for key in {path[len(here)] for path in paths if path[: len(here)] == here}
  }


def check_size(folder: pathlib.Path, parts: PyTree) -> None:
  """Raises UserError for arrays that are far larger than the folder is.

  Args:
    folder: Of the checkpoint.
    parts: What is to be read, or its shapes.
  """
  on_disk = sum(
    file.stat().st_size for file in folder.rglob("*") if file.is_file()
  )
  arrays = [
    leaf
    for leaf in jax.tree.leaves(parts)
    if getattr(leaf, "shape", None) is not None and leaf.dtype is not None
  ]
  said = sum(map(_num_bytes, arrays))
  if said > _MAX_RATIO * on_disk + _SPARE_BYTES:
    reason = f"its arrays would take {said} bytes, it has {on_disk}"
    raise UserError(_text(folder, reason))


def _num_bytes(leaf: Any) -> int:
  """Of an array, or of the chunk of it that is read at once."""
  storage = getattr(leaf, "storage", None)
  chunk = (storage and storage.chunk_shape) or ()
  size = max(math.prod(leaf.shape), math.prod(chunk))
  return size * np.dtype(leaf.dtype).itemsize
