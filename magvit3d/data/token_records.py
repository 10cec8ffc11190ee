"""Tokens of clips as records: what these hold, and how they are read.

A folder has TFRecord shards with their indices, and `manifest.json`, which is
there once all shards are. A record is a tf.train.Example: `tokens` (t, h, w)
and `cond_tokens` (tasks, t, h, w) as little-endian bytes of the smallest
unsigned type, which decode faster than lists of varints; `label`, `scene`
(its number in the split) and `camera` as integers; and that camera's
`intrinsics` (3, 3) and `camera_from_world` (3, 4) as floats.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, SupportsIndex, TypedDict

import msgspec
import numpy as np

from data_gen.errors import DataError
from data_gen.files import json_files, plain_files
from data_gen.records.features import Feature
from data_gen.records.manifest_types import FileName
from data_gen.records.records import decode_scene
from data_gen.records.tfrecord import TFRecordSource

SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
ADVICE = (
  "Delete this shard and run the same command again: it makes just what is "
  "missing."
)
_MOST_PACKED = 4  # Tokens are not packed, and integers take few bytes.
_TRAINED_ON = ("tokens", "cond_tokens", "label")
_CAMERA = ("camera", "intrinsics", "camera_from_world")
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Shard(TypedDict):
  """A file of records."""

  name: FileName
  num_clips: _Count
  bytes: _Count


class _Manifest(TypedDict):
  """What manifest.json holds; that of a cache that is begun has no shards."""

  schema_version: int
  key: str
  tokenizer: str
  num_clips: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
  clips_per_shard: _Count
  features: dict[str, dict[str, Any]]
  shards: NotRequired[list[_Shard]]


def make_features(
  latent_shape: Sequence[int], num_tasks: int, codebook_size: int
) -> dict[str, Feature]:
  """Returns the features of a record by key."""
  grid = tuple(latent_shape)
  dtype = np.min_scalar_type(codebook_size - 1).name
  integer = Feature("int64")
  return {
    "tokens": Feature(dtype, grid, "raw"),
    "cond_tokens": Feature(dtype, (num_tasks, *grid), "raw"),
    "label": integer,
    "scene": integer,
    "camera": integer,
    "intrinsics": Feature("float32", (3, 3)),
    "camera_from_world": Feature("float32", (3, 4)),
  }


def read_manifest(path: pathlib.Path) -> dict[str, Any]:
  """Returns a manifest; empty if there is none, or a damaged one."""
  try:
    manifest = json_files.read(path, _Manifest)
  except (OSError, json_files.JsonError):
    return {}
  if "shards" in manifest:
    found = sum(shard["num_clips"] for shard in manifest["shards"])
    if found != manifest["num_clips"]:
      return {}
  return manifest


def is_there(folder: pathlib.Path, shard: Mapping[str, Any]) -> bool:
  """Whether a shard has the size that the manifest says."""
  path = folder / shard["name"]
  return plain_files.is_file(path) and path.stat().st_size == shard["bytes"]


class TokenSource:
  """Tokens of clips as a random-access source of dicts.

  Safe to share between threads, and can be pickled.

  Args:
    folder: With the manifest.
    key: Of the tokenizer, the data and the tasks; see `identity.token_key`.

  Raises:
    DataError: The tokens are of another key, or not all there.
  """

  def __init__(self, folder: pathlib.Path, key: str):
    manifest = read_manifest(folder / MANIFEST_NAME)
    version = manifest.get("schema_version")
    if (version, manifest.get("key")) != (SCHEMA_VERSION, key):
      raise DataError(
        f"{folder} holds no tokens of this tokenizer, data set and tasks. "
        "Delete it and run the same command again: it makes them."
      )
    described = manifest.get("shards")
    if described is None:
      raise DataError(f"{folder} has no shards of tokens yet. {ADVICE}")
    for shard in described:
      if not is_there(folder, shard):
        raise DataError(
          f"{folder / shard['name']} is missing, or has another size than the "
          f"manifest's {shard['bytes']} bytes. {ADVICE}"
        )
    self._key = key
    self._records = TFRecordSource(
      [folder / shard["name"] for shard in described],
      [shard["num_clips"] for shard in described],
      advice=ADVICE,
    )
    try:
      self._features = {
        name: Feature.from_json(content)
        for name, content in manifest["features"].items()
      }
    except ValueError as error:
      raise DataError(
        f"{folder / MANIFEST_NAME} is damaged ({error}). Delete it and run the "
        "same command again: it makes what is missing."
      ) from error
    clip_bytes = sum(feature.nbytes for feature in self._features.values())
    for shard in described:
      if shard["num_clips"] * clip_bytes > _MOST_PACKED * shard["bytes"]:
        raise DataError(
          f"{folder / MANIFEST_NAME} is damaged: {shard['name']} has "
          f"{shard['bytes']} bytes, too few for its clips. {ADVICE}"
        )

  def __len__(self) -> int:
    return len(self._records)

  def __repr__(self) -> str:
    # Part of the iterator's identity: no folder, which may move.
    return f"TokenSource({len(self)} clips, key {self._key})"

  def __getitem__(
    self, index: SupportsIndex
  ) -> dict[str, np.ndarray | np.generic]:
    """Returns the tokens of a clip.

    Returns:
      tokens: int32 (t, h, w). cond_tokens: int32 (tasks, t, h, w).
      labels: int32, the class.

    Raises:
      DataError: The record is damaged; the message says which, and where.
    """
    return self._decode(index, _TRAINED_ON)

  def with_camera(
    self, index: SupportsIndex
  ) -> dict[str, np.ndarray | np.generic]:
    """Returns the same, and the camera of the clip.

    Returns:
      views: int32, its number in the rig. intrinsics: float32 (3, 3), pixels.
      camera_from_world: float32 (3, 4), metres. The others as of an index.
    """
    clip = self._decode(index, (*_TRAINED_ON, *_CAMERA))
    clip["views"] = np.int32(clip.pop("camera"))
    return clip

  def _decode(self, index, keys) -> dict[str, np.ndarray | np.generic]:
    clip = decode_scene(self._records[index], self._features, keys)
    clip["labels"] = np.int32(clip.pop("label"))
    for key in ("tokens", "cond_tokens"):
      clip[key] = clip[key].astype(np.int32)
    return clip
