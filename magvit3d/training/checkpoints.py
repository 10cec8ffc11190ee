"""Checkpoints of a stage: state, place in the data, and what they belong to.

Orbax writes each step into a temporary folder and renames it, so that an
interruption leaves the previous checkpoint as it was.
"""

import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from magvit3d.errors import UserError

_STATE, _DATA, _IDENTITY = "state", "data", "identity"
_LEAVES = "leaves"  # In the identity: shapes by path.


class Checkpoints:
  """The checkpoints of one stage, by step.

  Args:
    folder: Where they lie; made when the first is saved.
    identity: What a checkpoint must agree with to be restored: sections of
      the config and the like, JSON-serialisable. `{section: {field: value}}`.
    max_to_keep: Newest checkpoints that are kept.
    advice: What to do where the identity differs.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    identity: Mapping[str, Any],
    max_to_keep: int = 2,
    advice: str = "Use the config it was trained with, or another --workdir.",
  ):
    self._folder = folder
    self._advice = advice
    self._identity = json.loads(json.dumps(identity))
    self._manager = ocp.CheckpointManager(
      folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=max_to_keep, cleanup_tmp_directories=True
      ),
      item_handlers={
        _STATE: ocp.StandardCheckpointHandler(),
        _DATA: grain.checkpoint.CheckpointHandler(),
        _IDENTITY: ocp.JsonCheckpointHandler(),
      },
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
          _IDENTITY: ocp.args.JsonSave(
            self._identity | {_LEAVES: _leaf_shapes(state)}
          ),
        }
      ),
    )

  def restore(
    self,
    like: PyTree,
    iterator: grain.DatasetIterator | None = None,
  ) -> PyTree:
    """Restores the newest checkpoint.

    Args:
      like: Arrays, or shapes with shardings, that the result is like; see
        `sharding.with_shardings`.
      iterator: Set to its place in the data, if given.

    Raises:
      UserError: The checkpoint belongs to another architecture.
    """
    step = self.latest_step()
    self.check_identity(like)
    abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
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

  def check_identity(
    self,
    like: PyTree | None = None,
    sections: Collection[str] | None = None,
  ) -> None:
    """Checks that the newest checkpoint belongs to this config.

    Args:
      like: State, or its shapes, that it must also agree with, if given.
      sections: The only sections of the identity to compare; None for all.

    Raises:
      UserError: It does not; the message names what differs.
    """
    step = self.latest_step()
    restored = self._manager.restore(
      step, args=ocp.args.Composite(**{_IDENTITY: ocp.args.JsonRestore()})
    )[_IDENTITY]
    saved_leaves = restored.pop(_LEAVES)
    if sections is not None:
      restored = {key: restored.get(key) for key in sections}
    saved, wanted = _flatten(restored), _flatten(self._identity)
    if like is not None and saved == wanted:
      saved, wanted = saved_leaves, _leaf_shapes(like)
    differing = [
      f"{key} is {saved.get(key)!r} there and {wanted.get(key)!r} here"
      for key in sorted(saved.keys() | wanted.keys())
      if saved.get(key) != wanted.get(key)
    ]
    if differing:
      self._fail(step, differing)

  def _fail(self, step: int, differing: list[str]) -> None:
    more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
    raise UserError(
      f"The checkpoint {self._folder / str(step)} does not fit this config: "
      f"{'; '.join(differing[:3])}{more}. {self._advice}"
    )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {prefix: tree}
  flat = {}
  for key, value in tree.items():
    flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
  return flat


def _leaf_shapes(tree: PyTree) -> dict[str, list[int]]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): list(leaf.shape)
    for path, leaf in leaves
  }
