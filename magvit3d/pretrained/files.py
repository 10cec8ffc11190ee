"""A folder with trained networks, small enough to share.

`model-<hash>.safetensors` holds parameters by path, such as
'tokenizer/encoder/Conv_0/kernel', as float32, or as float16 where that was
asked for; they are float32 again once loaded. `config.json` says what they are:

  format          number of this format: 1, with float16 2
  magvit3d, jax   versions that wrote it
  class_names, num_frames, image_size, frame_stride, num_cameras, steps, rig
                  see `TrainedNetworks`; of the rig `intrinsics` and
                  `camera_from_world`, or null
  data_options    of `python -m data_gen`, or null
  networks        sections of the run's config
  weights         name of the file, and shape, type and CRC32C of each leaf
  sha256          of all of the above, as sorted JSON without spaces around it

Parameters are written first, under a new name; config.json then takes the place
of an earlier one, so that the folder is complete at any moment. README.md is
for people, and hubs.
"""

import hashlib
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import crc32c
import jax
import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util
from jax.sharding import NamedSharding
from jaxtyping import PyTree

from data_gen.files import json_files, plain_files
from data_gen.records.manifest_types import FileName
from data_gen.rendering.cameras import Cameras
from magvit3d.checkpoints import identity
from magvit3d.checkpoints.checksums import leaves_by_path
from magvit3d.checkpoints.code_version import code_version
from magvit3d.checkpoints.fit import listed
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.files import atomic_file
from magvit3d.inference.trained import (
  SECTIONS,
  TrainedNetworks,
  network_shapes,
)
from magvit3d.pretrained import folder_card
from magvit3d.run import record

FORMATS = {"float32": 1, "float16": 2}  # By type of the parameters.
CONFIG_NAME = "config.json"
WEIGHTS_PATTERN = "model-*.safetensors"
_MOST_HEADER_BYTES = 2**24  # Of names and shapes in a file of weights.
_Length = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
_Matrices = list[list[list[float]]]


class _Leaf(TypedDict):
  """A parameter in the file."""

  shape: Annotated[list[_Length], msgspec.Meta(max_length=8)]
  dtype: Literal["float32", "float16"]
  crc32c: str


class _Weights(TypedDict):
  """The file of parameters."""

  file: FileName
  leaves: dict[str, _Leaf]


class _Rig(TypedDict):
  """See `Cameras`."""

  intrinsics: _Matrices
  camera_from_world: _Matrices


class _Config(TypedDict):
  """What config.json holds."""

  class_names: list[str]
  num_frames: _Count
  image_size: _Count
  frame_stride: _Count
  num_cameras: _Count
  steps: dict[str, _Length]
  rig: NotRequired[_Rig | None]  # Older exports have none,
  data_options: NotRequired[dict[str, Any] | None]  # nor this.
  networks: dict[str, Any]
  weights: _Weights


def save(
  trained: TrainedNetworks,
  folder: pathlib.Path,
  dtype: str = "float32",
  *,
  license: str | None = None,
  title: str | None = None,
) -> None:
  """Writes networks into a folder, with a card.

  Args:
    trained: Networks.
    folder: New, or with an earlier export.
    dtype: Of the parameters in the file, one of `FORMATS`. float16 takes half
      of the bytes; its relative error is 2**-11 at most, above 6e-5.
    license: Of the parameters; see `folder_card.make`.
    title: Of the card; None is the folder's name.

  Raises:
    UserError: The folder holds something else, or cannot be written; or a
      parameter is too large for the type.
  """
  if dtype not in FORMATS:
    raise UserError(f"dtype={dtype!r} must be one of {', '.join(FORMATS)}.")
  _check_target(folder)
  leaves = {
    path: _stored(path, np.asarray(leaf), dtype)
    for path, leaf in traverse_util.flatten_dict(
      _trees(trained.tokenizer_params, trained.transformer_params), sep="/"
    ).items()
  }
  weights = safetensors.numpy.save(leaves)
  name = f"model-{hashlib.sha256(weights).hexdigest()[:12]}.safetensors"
  versions = code_version()
  content = {
    "format": FORMATS[dtype],
    "magvit3d": versions["magvit3d"],
    "jax": versions["jax"],
    "class_names": list(trained.class_names),
    "num_frames": trained.num_frames,
    "image_size": trained.image_size,
    "frame_stride": trained.frame_stride,
    "num_cameras": trained.num_cameras,
    "rig": _rig_content(trained.rig),
    "steps": dict(trained.steps),
    "data_options": trained.data,
    "networks": {
      name: trained.config.given[name]
      for name in SECTIONS
      if name in trained.config.given
    },
    "weights": {
      "file": name,
      "leaves": {path: _describe(leaf) for path, leaf in leaves.items()},
    },
  }
  content = json.loads(json.dumps(content))
  try:
    atomic_file.write_bytes(folder / name, weights)
    card = folder_card.make(trained, dtype, license, title or folder.name)
    atomic_file.write_text(folder / folder_card.NAME, card)
    sealed = content | {"sha256": identity.key_of(content)}
    record.write_json(folder / CONFIG_NAME, sealed)
    for path in folder.glob(WEIGHTS_PATTERN):
      if path.name != name:
        path.unlink()
  except OSError as error:
    raise UserError(
      f"{folder} cannot be written ({error.strerror or error}). Nothing that "
      "was there is lost."
    ) from error


def _stored(path: str, leaf: np.ndarray, dtype: str) -> np.ndarray:
  if np.abs(leaf).max(initial=0) > np.finfo(dtype).max:
    raise UserError(f"{path} has values that are too large for {dtype}.")
  return leaf.astype(dtype)


def _rig_content(rig: Cameras | None) -> dict[str, Any] | None:
  if rig is None:
    return None
  names = ("intrinsics", "camera_from_world")
  return {name: getattr(rig, name).tolist() for name in names}


def _read_rig(content: _Config) -> Cameras | None:
  """Returns the cameras; raises ValueError for those that cannot be."""
  rig, count = content.get("rig"), content["num_cameras"]
  if rig is None:
    return None
  intrinsics, poses = (
    np.array(rig[name], float) for name in ("intrinsics", "camera_from_world")
  )
  for array, columns in ((intrinsics, 3), (poses, 4)):
    if array.shape != (count, 3, columns) or not np.isfinite(array).all():
      raise ValueError(
        f"its rig has matrices that are not finite, or not {count} of "
        f"3 x {columns} numbers"
      )
  return Cameras(intrinsics, poses, content["image_size"])


def _trees(tokenizer: PyTree, transformer: PyTree | None) -> dict[str, PyTree]:
  trees = {"tokenizer": tokenizer}
  return trees if transformer is None else trees | {"transformer": transformer}


def _describe(leaf: np.ndarray) -> dict[str, Any]:
  check = crc32c.crc32c(np.ascontiguousarray(leaf).tobytes())
  return {
    "shape": list(leaf.shape),
    "dtype": leaf.dtype.name,
    "crc32c": f"{check:08x}",
  }


def _check_target(folder: pathlib.Path) -> None:
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder} is a file; name a folder.")
  if not folder.exists() or not any(folder.iterdir()):
    return
  known = {CONFIG_NAME, *(path.name for path in folder.glob(WEIGHTS_PATTERN))}
  if folder_card.is_ours(folder / folder_card.NAME):
    known.add(folder_card.NAME)
  foreign = sorted(
    path.name for path in folder.iterdir() if path.name not in known
  )
  try:
    is_export = "weights" in json_files.read(folder / CONFIG_NAME)
  except (OSError, ValueError):
    is_export = False
  foreign = [name for name in foreign if not name.endswith(".tmp")]
  if foreign or not is_export:
    what = f"holds {listed(foreign)}" if foreign else "is no earlier export"
    raise UserError(
      f"{folder} {what}: nothing was written. Name a new folder, or an export "
      "to replace."
    )


def load(folder: pathlib.Path, place: NamedSharding) -> TrainedNetworks:
  """Reads what `save` wrote.

  Args:
    folder: With config.json.
    place: Where the parameters shall lie.

  Raises:
    UserError: It is missing or damaged, or of another format; the message
      names the file, and the parameters that do not fit.
  """
  path = folder / CONFIG_NAME
  content = _read_config(path)
  weights = content["weights"]
  described = {
    name: tuple(leaf["shape"]) for name, leaf in weights["leaves"].items()
  }
  names = tuple(content["class_names"])
  num_frames, size = content["num_frames"], content["image_size"]
  num_cameras = content["num_cameras"]
  try:
    file = plain_files.inside(folder, weights["file"])
    rig = _read_rig(content)
    config = RunConfig.from_dict(content["networks"])
    wanted = network_shapes(
      config, names, num_frames, size, num_cameras, described
    )
  except (ValueError, UserError) as error:
    raise UserError(
      f"{path} does not describe networks that can be: {error}. Get it anew."
    ) from error
  _check_leaves(
    file,
    described,
    {path: tuple(leaf.shape) for path, leaf in leaves_by_path(wanted).items()},
    "the networks of this magvit3d need",
  )
  found = _read_weights(file, weights["leaves"])
  trees = jax.device_put(traverse_util.unflatten_dict(found, sep="/"), place)
  return TrainedNetworks(
    config,
    names,
    num_frames,
    size,
    content["frame_stride"],
    num_cameras,
    content["steps"],
    trees["tokenizer"],
    trees.get("transformer"),
    rig,
    content.get("data_options"),
  )


def is_export(folder: pathlib.Path) -> bool:
  """Whether a folder looks like one that `save` wrote; a run's does not."""
  return any(folder.glob(WEIGHTS_PATTERN))


def _read_config(path: pathlib.Path) -> _Config:
  try:
    plain_files.inside(path.parent, path.name)
    content = json_files.read(path)
    sealed = content.pop("sha256")
    is_sound = identity.key_of(content) == sealed
    found_format = content["format"]
    if is_sound and found_format in FORMATS.values():
      msgspec.convert(content, _Config)
  except FileNotFoundError as error:
    raise UserError(
      f"{path} is missing: {path.parent} holds no networks that "
      "save_pretrained wrote."
    ) from error
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error.strerror}).") from error
  except (ValueError, KeyError) as error:
    raise UserError(
      f"{path} is damaged, or was not written by save_pretrained "
      f"({type(error).__name__}: {error})."
    ) from error
  if not is_sound:
    raise UserError(
      f"{path} is damaged: its SHA-256 is not what it says. Get it anew, or "
      "write it again with save_pretrained."
    )
  if found_format not in FORMATS.values():
    raise UserError(
      f"{path} is of format {found_format}, written by magvit3d "
      f"{content.get('magvit3d')}; this one, {code_version()['magvit3d']}, "
      f"reads formats {listed([*map(str, FORMATS.values())])}."
    )
  return content


def _read_weights(
  path: pathlib.Path, described: Mapping[str, _Leaf]
) -> dict[str, np.ndarray]:
  expected = sum(
    math.prod(leaf["shape"]) * np.dtype(leaf["dtype"]).itemsize
    for leaf in described.values()
  )
  try:
    leaves = safetensors.numpy.load(
      plain_files.read_bytes(path, expected + _MOST_HEADER_BYTES)
    )
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing; config.json names it.") from error
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error.strerror}).") from error
  except (
    safetensors.SafetensorError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
  ) as error:
    raise UserError(
      f"{path} is damaged or cut off ({error}). Get it anew."
    ) from error
  _check_leaves(
    path,
    {name: tuple(leaf.shape) for name, leaf in leaves.items()},
    {name: tuple(leaf["shape"]) for name, leaf in described.items()},
    "config.json says",
  )
  damaged = [
    name for name, leaf in leaves.items() if _describe(leaf) != described[name]
  ]
  if damaged:
    raise UserError(
      f"{path} is damaged: checksums differ of {listed(damaged)}. Get it anew."
    )
  return {name: leaf.astype(np.float32) for name, leaf in leaves.items()}


def _check_leaves(
  path: pathlib.Path,
  found: Mapping[str, tuple[int, ...]],
  wanted: Mapping[str, tuple[int, ...]],
  who: str,
) -> None:
  """Compares shapes by path."""
  problems = [
    f"{name} is {_shape(found, name)} there, where {who} {_shape(wanted, name)}"
    for name in sorted(found.keys() | wanted.keys())
    if found.get(name) != wanted.get(name)
  ]
  if problems:
    raise UserError(f"{path} does not fit: {listed(problems, '; ')}.")


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
  return str(list(shapes[name])) if name in shapes else "missing"
