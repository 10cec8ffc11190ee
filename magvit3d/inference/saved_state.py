"""The newest checkpoint of a stage, read without its run.

Nothing in the folder is changed, so that a run may still go on in it.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding
from jaxtyping import PyTree

from magvit3d.checkpoints import fit
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.checksums import checksums, leaves_by_path
from magvit3d.checkpoints.orbax import ocp
from magvit3d.errors import UserError
from magvit3d.upstream import orbax_folder


@dataclasses.dataclass(frozen=True)
class SavedState:
  """A complete checkpoint.

  Attributes:
    folder: Its own, `WORKDIR/STAGE/checkpoints/STEP`.
    record: What it says of itself, see `checkpoints.record`.
  """

  folder: pathlib.Path
  record: Mapping[str, Any]

  def leaves(self, part: str) -> dict[str, Any]:
    """Returns what is said of the leaves of a part, by their path in it."""
    return {
      path.removeprefix(f"{part}/"): leaf
      for path, leaf in self.record["leaves"].items()
      if path.startswith(f"{part}/")
    }

  def check_identity(self, identity: Mapping[str, Any]) -> None:
    """Raises UserError if these sections of its identity differ."""
    wanted = json.loads(json.dumps(identity))
    found = fit.differences(self.record, wanted, sections=list(wanted))
    if found:
      raise UserError(
        f"The checkpoint {self.folder} does not fit {self._config_path}: "
        f"{fit.listed(found, '; ')}. Run python -m magvit3d.main for "
        "this work folder, to train what is outdated."
      )

  def restore(self, part: str, shapes: PyTree, place: NamedSharding) -> PyTree:
    """Reads one part of the state, and checks it.

    Args:
      part: Name of a field of the state.
      shapes: Of it.
      place: Where it shall lie.

    Raises:
      UserError: It is damaged, or has other shapes.
    """
    saved = {f"{part}/{path}": leaf for path, leaf in self.leaves(part).items()}
    wanted = {part: shapes}
    found = fit.differences({"identity": {}, "leaves": saved}, {}, like=wanted)
    if found:
      raise UserError(
        f"The checkpoint {self.folder} does not fit the networks of "
        f"{self._config_path}: {fit.listed(found, '; ')}."
      )
    restore_args = jax.tree.map(
      lambda leaf: ocp.ArrayRestoreArgs(sharding=place, dtype=leaf.dtype),
      wanted,
    )
    path = self.folder / "state"
    try:
      structure = orbax_folder.read_structure(path)
      orbax_folder.check_size(path, structure[part])
      state = ocp.PyTreeCheckpointHandler().restore(
        path.absolute(),
        args=ocp.args.PyTreeRestore(
          item=wanted, restore_args=restore_args, partial_restore=True
        ),
      )
    except Exception as error:  # Of TensorStore, of whatever type.
      text = " ".join(str(error).split())[:300]
      damage = f"{type(error).__name__}: {text}"
      raise _damage_error(self.folder, damage) from error
    sums = checksums(state)
    differing = [
      p for p in leaves_by_path(wanted) if sums[p] != saved[p]["checksum"]
    ]
    if differing:
      names = fit.listed(differing)
      raise _damage_error(self.folder, f"checksums differ of {names}")
    return state[part]

  @property
  def _config_path(self) -> pathlib.Path:
    return self.folder.parents[2] / "config.json"


def newest(workdir: pathlib.Path, stage: str) -> SavedState | None:
  """Returns the newest complete checkpoint of a stage, if there is one.

  Raises:
    UserError: It is damaged, or leads out of the work folder.
  """
  folder = checkpoint_record.newest(workdir / stage / "checkpoints")
  if folder is None:
    return None
  _check_links(workdir, folder)
  try:
    return SavedState(folder, checkpoint_record.read(folder))
  except checkpoint_record.DamageError as error:
    raise _damage_error(folder, str(error)) from error


def _check_links(workdir: pathlib.Path, folder: pathlib.Path) -> None:
  """Raises UserError if a link of a checkpoint leads out of the run."""
  root = os.path.realpath(workdir)
  for path in (folder, *folder.rglob("*")):
    is_plain = path.is_file() or path.is_dir()
    real = pathlib.Path(os.path.realpath(path))
    if not os.path.lexists(path):
      raise _damage_error(folder, f"{path.name} is missing")
    if not is_plain or not real.is_relative_to(root):
      raise UserError(
        f"{path} is no file, or leads out of {workdir}, from which alone "
        "checkpoints are read. Put the files themselves there."
      )


def _damage_error(folder: pathlib.Path, damage: str) -> UserError:
  if checkpoint_record.newest(folder.parent) != folder:
    return UserError(
      f"The checkpoint {folder} was replaced by another while it was read, as "
      "a run does that goes on. Run this again."
    )
  return UserError(
    f"The checkpoint {folder} is damaged ({damage}). Run python -m "
    "magvit3d.main for this work folder: it goes on from the one before."
  )
