"""Whether a checkpoint that was just saved is on the disk as a whole.

Orbax keeps the arrays of a state in files that several of them share, through
TensorStore. What is read here is little: which arrays there are, with their
shapes, and the last byte of everything, which a file that is too short lacks.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import tensorstore as ts

from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.fit import listed
from magvit3d.errors import UserError
from magvit3d.files import write_errors

STATE = "state"  # The item of a checkpoint that holds the arrays.
_DESCRIPTION = ".zarray"


def find_damage(
  folder: pathlib.Path, leaves: Mapping[str, Mapping[str, Any]]
) -> str | None:
  """Returns what is not as it should have been written, or None.

  Args:
    folder: Of the checkpoint.
    leaves: Shape and dtype of each, by path; see `record`.

  Raises:
    UserError: The machine cannot read it, whatever is there.
  """
  place = {"driver": "file", "path": f"{(folder / STATE).absolute()}/"}
  store = ts.KvStore.open({"driver": "ocdbt", "base": place}).result()
  try:
    checkpoint_record.read(folder)
    found = _read(store)
  except checkpoint_record.DamageError as error:
    return str(error)
  except (OSError, ValueError, KeyError, TypeError) as error:
    reason = " ".join(str(error).split())[:300]
    if write_errors.told_of(error):
      raise UserError(
        f"{folder} cannot be read ({reason}). Look what is wrong there, then "
        "run the same command again."
      ) from error
    return reason
  wanted = {
    path.replace("/", "."): (leaf["shape"], leaf["dtype"])
    for path, leaf in leaves.items()
  }
  names = sorted(wanted.keys() | found.keys())
  differing = [name for name in names if found.get(name) != wanted.get(name)]
  return f"other arrays are there: {listed(differing)}" if differing else None


def _read(store: ts.KvStore) -> dict[str, tuple[list[int], str]]:
  """Shape and dtype of each array; reads the last byte of each value."""
  keys = [key.decode() for key in store.list().result()]
  ends = [store.read(key, byte_range=slice(-1, None)) for key in keys]
  for end in ends:
    end.result()
  found = {}
  for key in keys:
    name, _, part = key.rpartition("/")
    if part == _DESCRIPTION:
      array = json.loads(store.read(key).result().value)
      found[name] = array["shape"], jnp.dtype(array["dtype"]).name
  return found
