"""Scenes of a rendered data set by number, as NumPy arrays.

Conventions of the world and of the cameras: see `data_gen.rendering.cameras`.
"""

import hashlib
import operator
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import numpy as np

from data_gen import schema
from data_gen.errors import DataError
from data_gen.files import json_files, plain_files, user_paths
from data_gen.records import array_records, manifest_types, records, tfrecord
from data_gen.records.features import Feature
from data_gen.records.manifest_types import Manifest

Array = np.ndarray

_MOST_PACKED = 1100  # Bytes that one of a PNG can stand for; zlib's limit.
_SPARE_BYTES = 2**21  # Of texts, and of a file's blocks.
_SOURCES = {
  "tfrecord": tfrecord.TFRecordSource,
  "array_record": array_records.ArrayRecordSource,
}


class SceneSource:
  """The scenes of one split of a data set; safe to pickle and to share.

  Attributes:
    num_views: Cameras of a scene, V.
    num_frames: Frames of a clip, T.
    image_size: Height and width of a frame, pixels.
    class_names, shape_names, motion_names: Names by label.
    features: What a record holds, by key.
  """

  def __init__(self, data_dir: str | os.PathLike, split: str):
    """Opens a split, and checks that its shards are there.

    Args:
      data_dir: Folder with the manifest.
      split: One of those in the manifest.

    Raises:
      DataError: There is no such split, or a shard is missing or has another
        size than the manifest says.
    """
    folder = user_paths.read(data_dir)
    manifest = read_manifest(folder)
    if manifest["file_format"] not in _SOURCES:
      raise DataError(
        f"{folder} holds shards of the format {manifest['file_format']!r}; "
        f"those of {' and '.join(_SOURCES)} can be read. Make the data set "
        "anew, in another folder, with --file_format=tfrecord."
      )
    if split not in manifest["splits"]:
      raise DataError(
        f"{folder} has no split {split!r}; it has {sorted(manifest['splits'])}."
      )
    described = manifest["splits"][split]["shards"]
    for shard in described:
      check_shard_size(folder / shard["name"], shard["bytes"])
    self.features: dict[str, Feature] = manifest_types.features(manifest)
    _check_sizes(folder, self.features, described)
    self._records = _SOURCES[manifest["file_format"]](
      [folder / shard["name"] for shard in described],
      [shard["num_scenes"] for shard in described],
    )
    hashes = "".join(shard["sha256"] for shard in described)
    self._fingerprint = hashlib.sha256(hashes.encode()).hexdigest()[:12]
    self._split = split
    self.num_views: int = manifest["num_views"]
    self.num_frames: int = manifest["num_frames"]
    self.image_size: int = manifest["image_size"]
    self.class_names: tuple[str, ...] = tuple(manifest["class_names"])
    self.shape_names: tuple[str, ...] = tuple(manifest["shape_names"])
    self.motion_names: tuple[str, ...] = tuple(manifest["motion_names"])

  def __len__(self) -> int:
    return len(self._records)

  def __repr__(self) -> str:
    # Grain compares it when it restores an iterator: no folders, which move.
    return (
      f"SceneSource({self._split!r}, {self._records!r}, "
      f"SHA-256 {self._fingerprint})"
    )

  def scene(
    self, index: SupportsIndex, keys: Iterable[str] | None = None
  ) -> dict[str, Array | int | float | str]:
    """Returns all of a scene, or some of it.

    Args:
      index: Number of the scene in the split.
      keys: Features to decode; all by default.

    Returns:
      The values by key, with the shapes of `features`. Always there:
      frames: uint8 (V, T, H, W, 3); masks: uint8 (V, T, H, W), 0 background.
      shape, motion, class, scene_id, seed: int.
      trajectory, trajectory_clean: float32 (T, 3), metres.
      orientation: float32 (T, 4), quaternions wxyz.
      size: float. color: float32 (3,), in [0, 1].
      intrinsics: float32 (V, 3, 3). camera_from_world: float32 (V, 3, 4).
      caption: str.
      background: float32 (3,), in [0, 1]; or background_frames: uint8
      (V, H, W, 3), where it is not plain.
      If asked for when it was made:
      depths: float32 (V, T, H, W), metres along the camera's axis, 0 where
      there is nothing. flows: float32 (V, T-1, H, W, 2), pixels.
      With several objects: objects/shape and so on; see `data_gen.schema`.
    """
    return records.decode_scene(self._records[index], self.features, keys)

  def clip(
    self, index: SupportsIndex, view: SupportsIndex
  ) -> dict[str, Array | int]:
    """Returns what one camera saw of a scene; decodes no other view.

    Returns:
      frames: uint8 (T, H, W, 3); masks: uint8 (T, H, W), 0 background.
      label: The class, int. scene_id, view: int.
      background: float32 (3,), in [0, 1]; or background_frames: uint8
      (H, W, 3), where it is not plain.
    """
    view = operator.index(view)
    if not 0 <= view < self.num_views:
      raise IndexError(f"View {view} of {self.num_views} does not exist.")
    keys = [schema.FRAMES, schema.MASKS, schema.CLASS, schema.SCENE_ID]
    for key in (schema.BACKGROUND, schema.BACKGROUND_FRAMES):
      if key in self.features:
        keys.append(key)
    clip = records.decode_scene(self._records[index], self.features, keys, view)
    clip["label"] = clip.pop(schema.CLASS)
    clip["view"] = view
    return clip

  def views(
    self,
    index: SupportsIndex,
    views: Sequence[int],
    keys: Iterable[str],
  ) -> dict[str, Array | int | float | str]:
    """Returns what some cameras saw of a scene; decodes no other view.

    Args:
      index: Number of the scene in the split.
      views: Numbers of the cameras.
      keys: Features to decode; those that the records lack are left out.

    Returns:
      As `scene`, with the axis V of the chosen cameras only.
    """
    for view in views:
      if not 0 <= view < self.num_views:
        raise IndexError(f"View {view} of {self.num_views} does not exist.")
    record = self._records[index]
    keys = [key for key in keys if key in self.features]
    images = [key for key in keys if self.features[key].num_list_axes]
    rest = [key for key in keys if key not in images]
    scene = records.decode_scene(record, self.features, rest)
    for key in (schema.INTRINSICS, schema.CAMERA_FROM_WORLD):
      if key in scene:
        scene[key] = scene[key][list(views)]
    parts = [
      records.decode_scene(record, self.features, images, view)
      for view in views
    ]
    return scene | {
      key: np.stack([part[key] for part in parts]) for key in images
    }


def read_manifest(folder: pathlib.Path) -> Manifest:
  """Returns the manifest of a data set.

  Raises:
    DataError: It is missing, damaged, or of another version.
  """
  path = folder / schema.MANIFEST_NAME
  command = (
    "python -m data_gen (footage: data_gen.import_videos) "
    f"--output_dir={folder}"
  )
  try:
    manifest = json_files.read(path)
    if manifest.get("format_version") == schema.FORMAT_VERSION:
      manifest_types.check(manifest)
  except OSError as error:
    raise DataError(
      f"{path} cannot be read ({error.strerror}): the folder holds no complete "
      f"data set. Make one, or complete it: {command}"
    ) from error
  except ValueError as error:
    raise DataError(
      f"{path} is damaged ({error}). Delete the folder and make it again: "
      f"{command}"
    ) from error
  if manifest.get("format_version") != schema.FORMAT_VERSION:
    raise DataError(
      f"{path} is of format version {manifest.get('format_version')}, and this "
      f"code reads {schema.FORMAT_VERSION}. Make the data set anew: {command}"
    )
  return manifest


def _check_sizes(
  folder: pathlib.Path,
  features: dict[str, Feature],
  described: Sequence[manifest_types.Shard],
) -> None:
  """Raises DataError for scenes that no shards of these sizes can hold."""
  scene_bytes = sum(feature.nbytes for feature in features.values())
  for shard in described:
    count = shard["num_scenes"]
    least = count * scene_bytes // _MOST_PACKED
    most = count * 2 * scene_bytes + (1 + count) * _SPARE_BYTES
    if not least <= shard["bytes"] <= most:
      raise DataError(
        f"{folder / schema.MANIFEST_NAME} is damaged: it says that "
        f"{shard['name']} holds {count} scenes of {scene_bytes} bytes each in "
        f"{shard['bytes']} bytes, which no packing can do. Get the manifest "
        "anew, or make the data set again."
      )


def check_shard_size(path: pathlib.Path, expected: int) -> None:
  """Raises DataError if a shard is missing, or not of the expected bytes."""
  found = path.stat().st_size if plain_files.is_file(path) else None
  if found != expected:
    state = "is missing" if found is None else f"has {found} bytes"
    raise DataError(
      f"{path} {state}; the manifest says {expected} bytes. To make it again, "
      "run the command that made the data set: python -m data_gen (footage: "
      f"data_gen.import_videos) --output_dir={path.parent} with the options in "
      f"{schema.MANIFEST_NAME}."
    )
