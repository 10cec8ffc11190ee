"""Clips of a data set with their cameras, for networks that are trained."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float, Int, UInt8

from data_gen import schema
from data_gen.scene_source import SceneSource
from magvit3d.data.clips import ClipSource, spread_indices, window_of
from magvit3d.data.frame_window import fit_window
from magvit3d.errors import UserError
from magvit3d.inference.trained_networks import TrainedNetworks


@dataclasses.dataclass(frozen=True)
class RealClips:
  """What cameras saw of scenes.

  Attributes:
    frames: Clips.
    labels: Classes, by the networks' names; their number where a class has a
      name that they do not know.
    captions: Of the scenes.
    scenes: Numbers of the scenes in the split.
    cameras: Numbers of the cameras.
    intrinsics: Pixels.
    camera_from_world: Metres.
  """

  frames: UInt8[np.ndarray, "b t h w 3"]
  labels: Int[np.ndarray, "b"]
  captions: tuple[str, ...]
  scenes: Int[np.ndarray, "b"]
  cameras: Int[np.ndarray, "b"]
  intrinsics: Float[np.ndarray, "b 3 3"]
  camera_from_world: Float[np.ndarray, "b 3 4"]


def open_clips(
  folder: pathlib.Path, split: str, trained: TrainedNetworks
) -> ClipSource:
  """Opens a split of a data set as clips that fit the networks.

  Raises:
    UserError: They do not fit.
    DataError: There is no such split, or files are missing.
  """
  scenes = SceneSource(folder, split)
  if scenes.image_size != trained.image_size:
    raise UserError(
      f"The frames in {folder} have {scenes.image_size} pixels, and the "
      f"networks were trained on {trained.image_size}. Name other --data."
    )
  stride, wanted = trained.frame_stride, trained.num_frames
  if (wanted - 1) * stride + 1 > scenes.num_frames:
    raise UserError(
      f"The scenes in {folder} have {scenes.num_frames} frames, too few for "
      f"the networks' clips of {wanted}"
      + (f" (every frame number {stride})." if stride > 1 else ".")
      + " Name other --data."
    )
  return ClipSource(scenes, fit_window(scenes.num_frames, wanted, stride))


def load(source: ClipSource, count: int, class_names: tuple[str, ...]):
  """Returns up to `count` clips, spread over a split, as `RealClips`."""
  scenes, frames = source.scenes, window_of(source).middle
  found = []
  for index in spread_indices(source, count):
    scene, camera = divmod(int(index), scenes.num_views)
    clip = scenes.views(scene, [camera], _KEYS)
    name = scenes.class_names[clip[schema.CLASS]]
    known = name in class_names
    found.append(
      (
        clip[schema.FRAMES][0, frames],
        class_names.index(name) if known else len(class_names),
        clip[schema.CAPTION],
        scene,
        camera,
        clip[schema.INTRINSICS][0],
        clip[schema.CAMERA_FROM_WORLD][0],
      )
    )
  columns = list(zip(*found, strict=True))
  return RealClips(
    np.stack(columns[0]),
    np.array(columns[1], np.int32),
    tuple(columns[2]),
    np.array(columns[3], np.int32),
    np.array(columns[4], np.int32),
    np.stack(columns[5]),
    np.stack(columns[6]),
  )


_KEYS = (
  schema.FRAMES,
  schema.CLASS,
  schema.CAPTION,
  schema.INTRINSICS,
  schema.CAMERA_FROM_WORLD,
)
