"""The trained networks in a run's work folder, read without its data.

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

from data_gen import schema
from data_gen.files import json_files, plain_files
from data_gen.records.scene_source import read_manifest
from data_gen.rendering.cameras import Cameras
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.rigs import shared_rig
from magvit3d.checkpoints import fit
from magvit3d.checkpoints import identity as identities
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.checksums import checksums, leaves_by_path
from magvit3d.checkpoints.orbax import check_folder, ocp
from magvit3d.config.run import STUDIES, RunConfig
from magvit3d.config.upstream import is_upstream
from magvit3d.data.frame_window import scene_window
from magvit3d.errors import UserError, as_user_errors
from magvit3d.inference.trained import (
  TrainedNetworks,
  network_shapes,
)
from magvit3d.upstream import orbax_folder

_NEEDED = ("data", "input", "vqvae", "transformer", "tasks", "maskgvt")


def load(workdir: pathlib.Path, place: NamedSharding) -> TrainedNetworks:
  """Reads the newest checkpoints of a run of configs/traj3d.py.

  Args:
    workdir: Folder of the run; its data need not be there.
    place: Where the parameters shall lie.

  Raises:
    UserError: There is no such run, or what it left does not fit together.
  """
  check_folder(workdir, "The run")
  config = _read_config(workdir)
  folder = _newest(workdir, "tokenizer")
  if folder is None:
    raise UserError(
      f"{workdir} has no checkpoint of the tokenizer: train it first, with "
      f"python -m magvit3d.main --workdir={workdir}."
    )
  record = _record(folder)
  window = scene_window(config.data, config.input)
  num_frames = window.num_frames
  size = config.data.image_size
  names, num_cameras, rig, data = _scene_facts(workdir, config, record)
  _check_identity(folder, record, {"vqvae": config.given["vqvae"]})
  leaves = {"tokenizer": _saved(record, "ema_params")}
  second = _newest(workdir, "transformer")
  if second is not None:
    second_record = _record(second)
    leaves["transformer"] = _saved(second_record, "params")
  try:
    shapes = network_shapes(
      config,
      names,
      num_frames,
      size,
      num_cameras,
      {
        f"{network}/{path}": tuple(leaf["shape"])
        for network, found in leaves.items()
        for path, leaf in found.items()
      },
    )
  except UserError as error:
    raise UserError(
      f"{workdir / 'config.json'} does not describe networks that can be: "
      f"{error}. Take the config that the run was trained with."
    ) from error
  tokenizer_params = _restore(
    folder, record, "ema_params", shapes["tokenizer"], place
  )
  steps, params = {"tokenizer": record["step"]}, None
  if second is not None:
    identity = identities.transformer_identity(config.given, tokenizer_params)
    _check_identity(second, second_record, identity)
    params = _restore(
      second, second_record, "params", shapes["transformer"], place
    )
    steps["transformer"] = second_record["step"]
  return TrainedNetworks(
    config,
    names,
    num_frames,
    size,
    window.stride,
    num_cameras,
    steps,
    tokenizer_params,
    params,
    rig,
    data,
    _read_scores(workdir),
  )


def _read_scores(workdir: pathlib.Path) -> dict[str, Any] | None:
  """Scores of an evaluation that is done: a later one of others is not."""
  try:
    stages = json_files.read(plain_files.inside(workdir, "stages.json"))
    is_done = stages["evaluate"]["status"] == "done"
    folder = plain_files.inside(workdir, "evaluation")
    scores = json_files.read(plain_files.inside(folder, "scores.json"))
  except (OSError, ValueError, KeyError, TypeError):
    return None
  return scores if is_done else None


def _read_config(workdir: pathlib.Path) -> RunConfig:
  path = workdir / "config.json"
  try:
    plain_files.inside(workdir, path.name)
    config = json_files.read(path)
  except FileNotFoundError as error:
    raise UserError(
      f"{workdir} is no work folder of a run: it has no config.json. Name the "
      "--workdir of python -m magvit3d.main."
    ) from error
  except (OSError, ValueError) as error:
    raise UserError(f"{path} cannot be read ({error}).") from error
  if is_upstream(config):
    raise UserError(
      f"{workdir} is a run of one of MAGVIT's own configs; this reads runs of "
      "configs/traj3d.py."
    )
  study = next((name for name in STUDIES if name in config), None)
  if study:
    raise UserError(
      f"{workdir} is a study ({study}); this reads runs of configs/traj3d.py, "
      "and WorldModel of magvit3d.studies.world_model those of "
      "configs/world_model.py."
    )
  missing = [name for name in _NEEDED if name not in config]
  if missing:
    raise UserError(
      f"{path} lacks {', '.join(missing)}: it is no config of "
      "configs/traj3d.py, or that of an older version."
    )
  try:
    return RunConfig.from_dict(config)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error


def _newest(workdir: pathlib.Path, stage: str) -> pathlib.Path | None:
  newest = checkpoint_record.newest(workdir / stage / "checkpoints")
  if newest is not None:
    _check_links(workdir, newest)
  return newest


def _check_links(workdir: pathlib.Path, folder: pathlib.Path) -> None:
  """Raises UserError if a link of a checkpoint leads out of the run."""
  root = os.path.realpath(workdir)
  for path in (folder, *folder.rglob("*")):
    is_plain = path.is_file() or path.is_dir()
    real = pathlib.Path(os.path.realpath(path))
    if not is_plain or not real.is_relative_to(root):
      raise UserError(
        f"{path} is no file, or leads out of {workdir}, from which alone "
        "checkpoints are read. Put the files themselves there."
      )


def _record(folder: pathlib.Path) -> dict[str, Any]:
  try:
    return checkpoint_record.read(folder)
  except checkpoint_record.DamageError as error:
    raise _damage_error(folder, str(error)) from error


def _damage_error(folder: pathlib.Path, damage: str) -> UserError:
  return UserError(
    f"The checkpoint {folder} is damaged ({damage}). Run python -m "
    "magvit3d.main for this work folder: it goes on from the one before."
  )


def _scene_facts(
  workdir: pathlib.Path, config: RunConfig, record: Mapping[str, Any]
) -> tuple[tuple[str, ...], int, Cameras | None, dict[str, Any] | None]:
  """Class names, cameras, shared rig and options of a tokenizer's data."""
  made_with = record["identity"].get("data", {})
  if isinstance(made_with, dict) and str(made_with.get("preset")) in (
    schema.PRESETS
  ):
    fields = {field.name for field in dataclasses.fields(DatasetOptions)}
    known = {key: made_with[key] for key in fields & set(made_with)}
    with as_user_errors(ValueError):
      options = DatasetOptions(**known | {"output_dir": "unused"})
    return (
      options.class_names,
      options.num_views,
      shared_rig(options),
      options.arguments(),
    )
  folder = pathlib.Path(config.data.data_dir or workdir / "data")
  if not (folder / schema.MANIFEST_NAME).exists():
    raise UserError(
      f"The names of the classes are in {folder / schema.MANIFEST_NAME}, which "
      "is not there: the run was trained on footage. Put the data set, or its "
      "manifest alone, back there."
    )
  manifest = read_manifest(folder)
  return tuple(manifest["class_names"]), manifest["num_views"], None, None


def _check_identity(
  folder: pathlib.Path, record: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
  wanted = json.loads(json.dumps(identity))
  found = fit.differences(record, wanted, sections=list(wanted))
  if found:
    raise UserError(
      f"The checkpoint {folder} does not fit {folder.parents[2]}/config.json: "
      f"{fit.listed(found, '; ')}. Run python -m magvit3d.main for "
      "this work folder, to train what is outdated."
    )


def _saved(record: Mapping[str, Any], item: str) -> dict[str, Any]:
  """What a record says of the leaves of a part, by their path in it."""
  return {
    path.removeprefix(f"{item}/"): leaf
    for path, leaf in record["leaves"].items()
    if path.startswith(f"{item}/")
  }


def _restore(
  folder: pathlib.Path,
  record: Mapping[str, Any],
  item: str,
  shapes: PyTree,
  place: NamedSharding,
) -> PyTree:
  """Reads one part of a checkpoint's state, and checks it."""
  saved = {
    f"{item}/{path}": leaf for path, leaf in _saved(record, item).items()
  }
  wanted = {item: shapes}
  found = fit.differences({"identity": {}, "leaves": saved}, {}, like=wanted)
  if found:
    raise UserError(
      f"The checkpoint {folder} does not fit the networks of "
      f"{folder.parents[2]}/config.json: {fit.listed(found, '; ')}."
    )
  restore_args = jax.tree.map(
    lambda leaf: ocp.ArrayRestoreArgs(sharding=place, dtype=leaf.dtype), wanted
  )
  try:
    found = orbax_folder.read_structure(folder / "state")
    orbax_folder.check_size(folder / "state", found[item])
    state = ocp.PyTreeCheckpointHandler().restore(
      (folder / "state").absolute(),
      args=ocp.args.PyTreeRestore(
        item=wanted, restore_args=restore_args, partial_restore=True
      ),
    )
  except Exception as error:  # Of TensorStore, of whatever type.
    text = " ".join(str(error).split())[:300]
    raise _damage_error(folder, f"{type(error).__name__}: {text}") from error
  sums = checksums(state)
  differing = [
    p for p in leaves_by_path(wanted) if sums[p] != saved[p]["checksum"]
  ]
  if differing:
    names = fit.listed(differing)
    raise _damage_error(folder, f"checksums differ of {names}")
  return state[item]
