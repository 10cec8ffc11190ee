"""Shards as NumPy archives, for use elsewhere; magvit3d does not read them.

`numpy.load(PATH)` gives, for the N scenes of a shard, V cameras, T frames:
  trajectories_3d: float32 (N, T, 3), metres, as rendered.
  multi_view_videos: uint8 (N, V, T, H, W, 3).
  labels, motions, classes: int64 (N), the shape, the motion, and their pair.
  intrinsics: float32 (N, V, 3, 3). camera_from_world: float32 (N, V, 3, 4).
  masks: uint8 (N, V, T, H, W), 0 background.
"""

import io
import pathlib
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

from data_gen import schema
from data_gen.files import array_files
from data_gen.records import shards
from data_gen.records.features import Feature, make_features
from data_gen.scenes.options import DatasetOptions

# Key in the archive -> key of a scene.
KEYS = {
  "trajectories_3d": schema.TRAJECTORY,
  "multi_view_videos": schema.FRAMES,
  "labels": schema.SHAPE,
  "motions": schema.MOTION,
  "classes": schema.CLASS,
  "intrinsics": schema.INTRINSICS,
  "camera_from_world": schema.CAMERA_FROM_WORLD,
  "masks": schema.MASKS,
}
_COMPRESSION_LEVEL = 3
_PART_BYTES = 2**20


def make_arrays(options: DatasetOptions) -> dict[str, Feature]:
  """Returns type and shape of what a scene has in each array, by key."""
  features = make_features(options)
  return {
    key: Feature(features[source].dtype, features[source].shape)
    for key, source in KEYS.items()
  }


def write_shard(
  path: pathlib.Path,
  scenes: Iterable[Mapping[str, Any]],
  options: DatasetOptions,
  num_scenes: int,
) -> None:
  """Writes a shard; under its name only when complete."""
  with shards.complete_or_absent(path) as temporary:
    with open(temporary, "wb") as file:
      write_archive(file, scenes, options, num_scenes)


def write_archive(
  file: BinaryIO,
  scenes: Iterable[Mapping[str, Any]],
  options: DatasetOptions,
  num_scenes: int,
) -> None:
  """Writes the archive of `num_scenes` scenes.

  Videos go to the file as they come; the other arrays, a quarter of the bytes,
  are held in memory.
  """
  arrays = make_arrays(options)
  videos = arrays.pop("multi_view_videos")
  others = {
    key: np.empty((num_scenes, *array.shape), array.dtype)
    for key, array in arrays.items()
  }
  with zipfile.ZipFile(
    file, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL
  ) as archive:
    with _open_member(archive, "multi_view_videos") as member:
      member.write(_header((num_scenes, *videos.shape), videos.dtype))
      for number, scene in enumerate(scenes):
        member.write(np.ascontiguousarray(scene[schema.FRAMES]).data)
        for key, array in others.items():
          array[number] = scene[KEYS[key]]
    for key, array in others.items():
      with _open_member(archive, key) as member:
        member.write(_header(array.shape, array.dtype))
        member.write(array.data)


def find_damage(
  path: pathlib.Path,
  expected: Mapping[str, Feature] | None = None,
  num_scenes: int = 0,
) -> str | None:
  """Returns what is damaged in an archive, or None.

  Args:
    path: Of the archive.
    expected: What a scene has in each array; None: whatever the headers say.
    num_scenes: In the archive, where that is given.
  """
  try:
    arrays = array_files.open_npz(path)
  except (array_files.ArrayFileError, OSError) as error:
    return str(error)
  if expected is not None:
    shapes = {
      key: ((num_scenes, *feature.shape), np.dtype(feature.dtype))
      for key, feature in expected.items()
    }
    if shapes != {key: (a.shape, a.dtype) for key, a in arrays.items()}:
      return "the list of its arrays: they are not those of the manifest"
  for key in arrays:
    try:
      with arrays[key].opened() as values:
        for start in range(0, arrays[key].nbytes, _PART_BYTES):
          values.read(min(_PART_BYTES, arrays[key].nbytes - start))
        values.finish()
    except (array_files.ArrayFileError, OSError) as error:
      return f"array {key}, which starts at byte {arrays[key].offset}: {error}"
  return None


def _open_member(archive: zipfile.ZipFile, key: str):
  # By name: members then carry no time, and the bytes are always the same.
  return archive.open(f"{key}.npy", "w", force_zip64=True)


def _header(shape: tuple[int, ...], dtype: Any) -> bytes:
  file = io.BytesIO()
  descr = np.dtype(dtype).newbyteorder("<").str
  np.lib.format.write_array_header_1_0(
    file, {"descr": descr, "fortran_order": False, "shape": shape}
  )
  return file.getvalue()
