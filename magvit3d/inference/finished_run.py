"""The trained networks in a run's work folder, read without its data.

Nothing in the folder is changed, so that a run may still go on in it.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from jax.sharding import NamedSharding

from data_gen import schema
from data_gen.files import json_files, plain_files
from data_gen.records.scene_source import read_manifest
from data_gen.rendering.cameras import Cameras
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.rigs import shared_rig
from magvit3d.checkpoints import identity as identities
from magvit3d.checkpoints.orbax import check_folder
from magvit3d.config.run import STUDIES, RunConfig
from magvit3d.config.upstream import is_upstream
from magvit3d.data.frame_window import scene_window
from magvit3d.errors import UserError, as_user_errors
from magvit3d.inference import saved_state
from magvit3d.inference.trained import (
  TrainedNetworks,
  network_shapes,
)

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
  first = saved_state.newest(workdir, "tokenizer")
  if first is None:
    raise UserError(
      f"{workdir} has no checkpoint of the tokenizer: train it first, with "
      f"python -m magvit3d.main --workdir={workdir}."
    )
  window = scene_window(config.data, config.input)
  num_frames = window.num_frames
  size = config.data.image_size
  names, num_cameras, rig, data = _scene_facts(workdir, config, first.record)
  first.check_identity({"vqvae": config.given["vqvae"]})
  leaves = {"tokenizer": first.leaves("ema_params")}
  second = saved_state.newest(workdir, "transformer")
  if second is not None:
    leaves["transformer"] = second.leaves("params")
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
  tokenizer_params = first.restore("ema_params", shapes["tokenizer"], place)
  steps, params = {"tokenizer": first.record["step"]}, None
  if second is not None:
    identity = identities.transformer_identity(config.given, tokenizer_params)
    second.check_identity(identity)
    params = second.restore("params", shapes["transformer"], place)
    steps["transformer"] = second.record["step"]
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
