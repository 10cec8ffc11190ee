"""Reads the state of a checkpoint, and tells damage from other faults."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from magvit3d.checkpoints import damage as damaged_checkpoints
from magvit3d.checkpoints.checksums import checksums
from magvit3d.checkpoints.fit import listed
from magvit3d.checkpoints.orbax import ocp
from magvit3d.checkpoints.readback import STATE
from magvit3d.errors import UserError
from magvit3d.parallel.processes import is_true_anywhere

_MAX_CHARACTERS = 300  # Of another library's error.


def read(
  folder: pathlib.Path, like: PyTree, leaves: Mapping[str, Any]
) -> tuple[PyTree | None, str | None]:
  """Returns the state, or what is damaged of it; all processes call it.

  Args:
    folder: Of the checkpoint.
    like: Arrays or `jax.ShapeDtypeStruct`s that say by their `sharding` where
      the result lies.
    leaves: What its record says of them, checksums included.

  Raises:
    UserError: The file system gave no answer that tells of damage.
  """
  abstract = jax.tree.map(_abstract, like)
  state, damage, machine_error = None, None, None
  try:
    # Not by the manager, whose processes wait for each other: one of them
    # may fail alone.
    state = ocp.StandardCheckpointHandler().restore(
      (folder / STATE).absolute(), args=ocp.args.StandardRestore(abstract)
    )
  except Exception as error:
    try:
      is_damage = damaged_checkpoints.is_damage(folder, error)
    except UserError as unreadable:
      machine_error = unreadable
    else:
      if is_damage:
        text = " ".join(str(error).split())  # TensorStore's has many lines.
        damage = f"{type(error).__name__}: {text[:_MAX_CHARACTERS]}"
      else:
        machine_error = error
  is_damaged = is_true_anywhere(damage is not None)
  if machine_error is not None and not is_damaged:
    raise machine_error
  if is_damaged:
    return None, damage or "another process could not read its part"
  differing = [
    path
    for path, value in checksums(state).items()
    if value != leaves[path]["checksum"]
  ]
  if differing:
    return None, f"checksums differ of {listed(differing)}"
  return state, None


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
  if leaf.sharding is None:
    raise ValueError(f"{leaf} does not say on which devices to restore it.")
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
