"""Checkpoints of a stage: state, place in the data, and what they belong to.

Orbax writes each step into a temporary folder and renames it, so that an
interruption leaves the previous checkpoint as it was.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from magvit3d.errors import UserError

_STATE, _DATA, _IDENTITY = "state", "data", "identity"


class Checkpoints:
  """The checkpoints of one stage, by step.

  Args:
    folder: Where they lie; made when the first is saved.
    identity: What a checkpoint must agree with to be restored: sections of
      the config and the like, JSON-serialisable. `{section: {field: value}}`.
    max_to_keep: Newest checkpoints that are kept.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    identity: Mapping[str, Any],
    max_to_keep: int = 2,
  ):
    self._folder = folder
    self._identity = json.loads(json.dumps(identity))
    self._manager = ocp.CheckpointManager(
      folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=max_to_keep, cleanup_tmp_directories=True
      ),
    )

  def latest_step(self) -> int | None:
    """Newest complete checkpoint; None if there is none."""
    return self._manager.latest_step()

  def save(
    self, step: int, state: PyTree, iterator: grain.DatasetIterator
  ) -> None:
    """Saves in the background, unless `step` is saved already."""
    if step == self.latest_step():
      return
    self._manager.save(
      step,
      args=ocp.args.Composite(
        **{
          _STATE: ocp.args.StandardSave(state),
          _DATA: grain.checkpoint.CheckpointSave(iterator),
          _IDENTITY: ocp.args.JsonSave(self._identity),
        }
      ),
    )

  def restore(
    self,
    like: PyTree,
    mesh: Mesh,
    iterator: grain.DatasetIterator | None = None,
  ) -> PyTree:
    """Restores the newest checkpoint, on all devices of `mesh`.

    Args:
      like: State, or its shapes, whose structure the result has.
      mesh: Devices.
      iterator: Set to its place in the data, if given.

    Raises:
      UserError: The checkpoint belongs to another architecture.
    """
    step = self.latest_step()
    self.check_identity()
    self._check_shapes(step, like)
    everywhere = NamedSharding(mesh, PartitionSpec())
    abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
      like,
    )
    args = {_STATE: ocp.args.StandardRestore(abstract)}
    if iterator is not None:
      args[_DATA] = grain.checkpoint.CheckpointRestore(iterator)
    restored = self._manager.restore(step, args=ocp.args.Composite(**args))
    return restored[_STATE]

  def wait(self) -> None:
    """Waits until everything is written."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits until everything is written, and lets go of the folder."""
    self.wait()
    self._manager.close()

  def check_identity(self) -> None:
    """Raises UserError if the newest checkpoint belongs to another config."""
    step = self.latest_step()
    restored = self._manager.restore(
      step, args=ocp.args.Composite(**{_IDENTITY: ocp.args.JsonRestore()})
    )
    saved = _flatten(restored[_IDENTITY])
    wanted = _flatten(self._identity)
    differing = [
      f"{key} is {saved.get(key)!r} there and {wanted.get(key)!r} here"
      for key in sorted(saved.keys() | wanted.keys())
      if saved.get(key) != wanted.get(key)
    ]
    if differing:
      self._fail(step, differing)

  def _check_shapes(self, step: int, like: PyTree) -> None:
    metadata = self._manager.item_metadata(step)[_STATE]
    saved = {key: tuple(leaf.shape) for key, leaf in _leaves(metadata).items()}
    wanted = {key: tuple(x.shape) for key, x in _leaves(like).items()}
    differing = [
      f"{key} is {saved.get(key)} there and {wanted.get(key)} here"
      for key in sorted(saved.keys() | wanted.keys())
      if saved.get(key) != wanted.get(key)
    ]
    if differing:
      self._fail(step, differing)

  def _fail(self, step: int, differing: list[str]) -> None:
    more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
    raise UserError(
      f"The checkpoint {self._folder / str(step)} does not fit this config: "
      f"{'; '.join(differing[:3])}{more}. Use the config it was trained with, "
      "or another --workdir."
    )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {prefix: tree}
  flat = {}
  for key, value in tree.items():
    flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
  return flat


def _leaves(tree: PyTree) -> dict[str, Any]:
  paths = jax.tree_util.tree_flatten_with_path(ocp.tree.serialize_tree(tree))[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in paths
  }
