"""Scenes and clips of a traj3d data set, as NumPy arrays.

Conventions of the world and of the cameras: see `data_gen.cameras`.
"""

import json
import operator
import os
import pathlib
from typing import SupportsIndex

import numpy as np

from data_gen import examples, png, schema
from magvit3d.data import tfrecord
from magvit3d.data.tfrecord import DataError

Array = np.ndarray


class SceneSource:
  """The scenes of one split of a data set; safe to pickle and to share.

  Attributes:
    num_views: Cameras of a scene, V.
    num_frames: Frames of a clip, T.
    image_size: Height and width of a frame, pixels.
    class_names, shape_names, motion_names: Names by label.
  """

  def __init__(self, data_dir: str | os.PathLike, split: str):
    """Opens a split, and checks that its shards are there.

    Args:
      data_dir: Folder with the manifest.
      split: One of `data_gen.schema.SPLITS`.

    Raises:
      DataError: There is no such split, or a shard is missing or has another
        size than the manifest says.
    """
    folder = pathlib.Path(data_dir)
    manifest = read_manifest(folder)
    if split not in manifest["splits"]:
      raise DataError(
        f"{folder} has no split {split!r}; it has {sorted(manifest['splits'])}."
      )
    described = manifest["splits"][split]["shards"]
    for shard in described:
      _check_shard(folder / shard["name"], shard["bytes"])
    self._records = tfrecord.TFRecordSource(
      [folder / shard["name"] for shard in described],
      [shard["num_scenes"] for shard in described],
    )
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
    return f"SceneSource({self._split!r}, {self._records!r})"

  def scene(self, index: SupportsIndex) -> dict[str, Array | int | float | str]:
    """Returns all of a scene.

    Returns:
      frames: uint8 (V, T, H, W, 3); masks: uint8 (V, T, H, W), 0 background.
      shape, motion, class, scene_id, seed: int.
      trajectory, trajectory_clean: float32 (T, 3), metres.
      orientation: float32 (T, 4), quaternions wxyz.
      size: float. color, background: float32 (3,), in [0, 1].
      intrinsics: float32 (V, 3, 3). camera_from_world: float32 (V, 3, 4).
      caption: str.
    """
    features = examples.decode_example(self._records[index])
    views, times = self.num_views, self.num_frames
    image_shape = (views, times, self.image_size, self.image_size)
    scene = {
      schema.FRAMES: self._decode_frames(features[schema.FRAMES]).reshape(
        *image_shape, 3
      ),
      schema.MASKS: self._decode_masks(features[schema.MASKS]).reshape(
        image_shape
      ),
      schema.SIZE: float(features[schema.SIZE][0]),
      schema.CAPTION: bytes(features[schema.CAPTION][0]).decode(),
    }
    for key in (
      schema.SHAPE,
      schema.MOTION,
      schema.CLASS,
      schema.SCENE_ID,
      schema.SEED,
    ):
      scene[key] = int(features[key][0])
    for key, shape in {
      schema.TRAJECTORY: (times, 3),
      schema.TRAJECTORY_CLEAN: (times, 3),
      schema.ORIENTATION: (times, 4),
      schema.COLOR: (3,),
      schema.BACKGROUND: (3,),
      schema.INTRINSICS: (views, 3, 3),
      schema.CAMERA_FROM_WORLD: (views, 3, 4),
    }.items():
      scene[key] = features[key].reshape(shape)
    return scene

  def clip(
    self, index: SupportsIndex, view: SupportsIndex
  ) -> dict[str, Array | int]:
    """Returns what one camera saw of a scene; decodes no other view.

    Returns:
      frames: uint8 (T, H, W, 3); masks: uint8 (T, H, W), 0 background.
      label: The class, int. scene_id, view: int.
      background: float32 (3,), in [0, 1].
    """
    view = operator.index(view)
    if not 0 <= view < self.num_views:
      raise IndexError(f"View {view} of {self.num_views} does not exist.")
    features = examples.decode_example(self._records[index])
    mine = slice(view * self.num_frames, (view + 1) * self.num_frames)
    return {
      "frames": self._decode_frames(features[schema.FRAMES][mine]),
      "masks": self._decode_masks(features[schema.MASKS][mine]),
      "label": int(features[schema.CLASS][0]),
      "scene_id": int(features[schema.SCENE_ID][0]),
      "view": view,
      "background": features[schema.BACKGROUND],
    }

  def _decode_frames(self, pngs: list[memoryview]) -> Array:
    return _decode_pngs(pngs, (self.image_size, self.image_size, 3))

  def _decode_masks(self, pngs: list[memoryview]) -> Array:
    return _decode_pngs(pngs, (self.image_size, self.image_size))


def read_manifest(folder: pathlib.Path) -> dict:
  """Returns the manifest of a data set.

  Raises:
    DataError: It is missing or damaged.
  """
  path = folder / schema.MANIFEST_NAME
  command = f"python -m data_gen --output_dir={folder}"
  try:
    return json.loads(path.read_text())
  except OSError as error:
    raise DataError(
      f"{path} cannot be read ({error.strerror}): the folder holds no complete "
      f"data set. Make one, or complete it: {command}"
    ) from error
  except ValueError as error:
    raise DataError(
      f"{path} is damaged ({error}). Delete it and make it again: {command}"
    ) from error


def _check_shard(path: pathlib.Path, expected: int) -> None:
  found = path.stat().st_size if path.is_file() else None
  if found != expected:
    state = "is missing" if found is None else f"has {found} bytes"
    raise DataError(
      f"{path} {state}; the manifest says {expected} bytes. To make it again, "
      "run the command that made the data set: python -m data_gen "
      f"--output_dir={path.parent} with the options in {schema.MANIFEST_NAME}."
    )


def _decode_pngs(pngs: list[memoryview], shape: tuple[int, ...]) -> Array:
  images = np.empty((len(pngs), *shape), np.uint8)
  for image, data in zip(images, pngs, strict=True):
    try:
      png.decode_png(data, image)
    except ValueError as error:
      raise DataError(f"A frame does not fit the manifest. {error}") from error
  return images
