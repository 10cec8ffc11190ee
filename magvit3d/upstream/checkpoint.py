"""Loads a checkpoint in upstream's format, or one of this project's."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.upstream import layouts, locations, msgpack_file, orbax_folder


@dataclasses.dataclass(frozen=True)
class UpstreamCheckpoint:
  """Parameters and what is known of where they come from.

  Attributes:
    kind: 'tokenizer' or 'transformer'.
    layout: Which of upstream's layouts, for people to read.
    source: The file or folder that was read, once the step was chosen.
    step: Steps of training; None if neither keys nor name tell.
    sha256: Of the file; of an Orbax folder, of its files' names and contents.
    trees: Float32 NumPy arrays in nested dicts, by name: some of `g_params`,
      `ema_params` (always there), `d_params`, or `params`.
  """

  kind: str
  layout: str
  source: str
  step: int | None
  sha256: str
  trees: Mapping[str, PyTree]


def load(path: str | os.PathLike) -> UpstreamCheckpoint:
  """Loads what `path` means (see `locations`).

  Optimizers, random state and running averages of losses are left behind.

  Raises:
    UserError: It does not exist, is damaged, or is something else.
  """
  with locations.fetched(os.fspath(path)) as (source, local):
    if local.is_dir():
      tree = orbax_folder.read_structure(local)
      layout = layouts.find(tree, source)
      paths = [path for path in (*layout.trees.values(), layout.step) if path]
      found = orbax_folder.read_parts(local, paths or [()])
    else:
      tree = msgpack_file.read(local)
      layout = layouts.find(tree, source)
      found = _Picked(tree)
    step = _as_step(found[layout.step]) if layout.step else None
    if step is None:
      step = locations.step_in_name(source)
    trees = {
      name: _as_params(found[path], f"{name} of {source}")
      for name, path in layout.trees.items()
    }
    digest = _digest(local)
  return UpstreamCheckpoint(
    layout.kind, layout.name, source, step, digest, trees
  )


class _Picked:
  """Subtrees of a tree by their path."""

  def __init__(self, tree: Mapping[str, Any]):
    self._tree = tree

  def __getitem__(self, path: tuple[str, ...]) -> Any:
    tree = self._tree
    for key in path:
      tree = tree[key]
    return tree


def _as_step(value: Any) -> int | None:
  is_number = np.ndim(value) == 0 and np.issubdtype(
    np.asarray(value).dtype, np.integer
  )
  return int(value) if is_number else None


def _as_params(tree: Mapping[str, Any], name: str) -> PyTree:
  """Checks that every leaf is an array of finite numbers, as float32."""
  params = {}
  for path, leaf in traverse_util.flatten_dict(tree, sep="/").items():
    if not isinstance(leaf, np.ndarray) or not jnp.issubdtype(
      leaf.dtype, jnp.floating
    ):
      kind = getattr(leaf, "dtype", type(leaf).__name__)
      raise UserError(
        f"{path} in {name} is {kind}, not an array of floating-point numbers. "
        "The file is damaged, or not upstream's."
      )
    with np.errstate(all="ignore"):
      params[path] = leaf.astype(np.float32, copy=False)
      is_finite = bool(np.all(np.isfinite(params[path])))
    if not is_finite:
      raise UserError(
        f"{path} in {name} has values that are not finite. The file is "
        "damaged, or its training had diverged: take an earlier step."
      )
  return traverse_util.unflatten_dict(params, sep="/")


def _digest(local: pathlib.Path) -> str:
  if local.is_file():
    return _file_digest(local)
  files = sorted(file for file in local.rglob("*") if file.is_file())
  lines = [
    f"{_file_digest(f)} {f.relative_to(local).as_posix()}" for f in files
  ]
  return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _file_digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
