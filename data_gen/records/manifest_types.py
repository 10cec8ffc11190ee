"""What a manifest must hold, so that whoever reads one need not look again."""

import types
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from data_gen import schema
from data_gen.records.features import Feature, make_features

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
# A file in the same folder.
FileName = Annotated[
  str, msgspec.Meta(pattern=r"^[^/\\\x00.][^/\\\x00]*$", max_length=63)
]


class Shard(TypedDict):
  """A file of records."""

  name: FileName
  num_scenes: _Count
  bytes: _Count
  sha256: _Hash


class Split(TypedDict):
  """Scenes that belong together."""

  num_scenes: _Count
  class_counts: dict[str, _Count]
  shards: list[Shard]


class Arguments(TypedDict, total=False):
  """Options, and of footage the hashes of its files."""

  files: dict[str, str]


class Header(TypedDict):
  """What is known before anything is rendered."""

  dataset: str
  format_version: int
  arguments: Arguments
  file_format: Literal["tfrecord", "array_record", "npz"]


class Complete(Header):
  """A data set that is complete, as its maker needs it."""

  splits: dict[str, Split]


class Manifest(Complete):
  """The same, as readers need it."""

  seed: _Count
  shape_names: list[str]
  motion_names: list[str]
  class_names: list[str]
  num_views: Annotated[int, msgspec.Meta(ge=1, le=1024)]
  num_frames: Annotated[int, msgspec.Meta(ge=1, le=1024)]
  image_size: Annotated[int, msgspec.Meta(ge=1, le=4096)]
  features: dict[str, dict[str, Any]]
  has_masks: NotRequired[bool]


def check(manifest: Any) -> None:
  """Checks types, ranges, and that the parts agree.

  Raises:
    ValueError: Something is wrong; the message names the field.
  """
  msgspec.convert(manifest, Manifest)
  for name, split in manifest["splits"].items():
    if split["num_scenes"] != sum(s["num_scenes"] for s in split["shards"]):
      raise ValueError(f"the shards of {name!r} have other scenes than it says")
  found = features(manifest)
  if manifest["file_format"] == "npz":
    return  # Nothing here reads such records.
  if found != _expected(manifest, found):
    raise ValueError(
      "its features are not those of scenes with its num_views, num_frames "
      "and image_size"
    )


def features(manifest: Manifest) -> dict[str, Feature]:
  """Returns what a record holds, by key; raises ValueError for no feature."""
  return {
    key: Feature.from_json(content)
    for key, content in manifest["features"].items()
  }


def _expected(
  manifest: Manifest, found: dict[str, Feature]
) -> dict[str, Feature]:
  """What scenes hold that have the optional features that were found."""
  objects = found.get(schema.OBJECTS_SHAPE, Feature("int64", (1,))).shape
  return make_features(
    types.SimpleNamespace(
      **{
        name: manifest[name]
        for name in ("num_views", "num_frames", "image_size")
      },
      ground_plane=schema.BACKGROUND_FRAMES in found,
      depths=schema.DEPTHS in found,
      flows=schema.FLOWS in found,
      has_violations=schema.VIOLATION_KIND in found,
      has_camera_path=schema.CAMERA_PATH in found,
      num_scene_objects=min(objects[0], 2**16) if objects else 1,
    )
  )
