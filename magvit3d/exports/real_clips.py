"""Clips of a data set with their cameras, as networks in use read them."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float, Int, UInt8

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.data.clips import ClipSource, spread_indices, window_of
from magvit3d.data.frame_window import fit_window
from magvit3d.data.scene_clips import spread_views
from magvit3d.errors import UserError
from magvit3d.inference.trained import TrainedNetworks


@dataclasses.dataclass(frozen=True)
class ClipCameras:
  """Which camera saw each clip, and of which scene.

  Attributes:
    scenes: Numbers of the scenes.
    cameras: Numbers of the cameras in their rig.
    intrinsics: Pixels.
    camera_from_world: Metres.
  """

  scenes: Int[np.ndarray, " b"]
  cameras: Int[np.ndarray, " b"]
  intrinsics: Float[np.ndarray, "b 3 3"]
  camera_from_world: Float[np.ndarray, "b 3 4"]


@dataclasses.dataclass(frozen=True)
class RealClips:
  """What cameras saw of scenes; the clips of a scene stand in a row.

  Attributes:
    frames: Clips.
    labels: Classes, by the networks' names; their number where a class has a
      name that they do not know.
    captions: Of the scenes.
    cameras: Of the clips; scenes by their number in the split.
  """

  frames: UInt8[np.ndarray, "b t h w 3"]
  labels: Int[np.ndarray, " b"]
  captions: tuple[str, ...]
  cameras: ClipCameras


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


def load(
  source: ClipSource, count: int, class_names: tuple[str, ...]
) -> RealClips:
  """Returns up to `count` clips, spread over a split."""
  indices = spread_indices(source, count)
  places = [divmod(int(i), source.scenes.num_views) for i in indices]
  return _load(source, [(scene, [view]) for scene, view in places], class_names)


def load_scenes(
  source: ClipSource,
  count: int,
  num_views: int,
  class_names: tuple[str, ...],
) -> RealClips:
  """Returns all clips of up to `count` scenes, spread over a split.

  Args:
    source: Clips of the split.
    count: Scenes.
    num_views: Cameras of each, which are evenly apart in its rig.
    class_names: By label.

  Raises:
    UserError: The scenes have fewer cameras.
  """
  scenes = source.scenes
  if num_views > scenes.num_views:
    raise UserError(
      f"The scenes of --data have {scenes.num_views} cameras, and the networks "
      f"were trained on {num_views} of each. Name other --data."
    )
  views = spread_views(num_views, scenes.num_views).tolist()
  places = [(int(i), views) for i in spread_indices(scenes, count)]
  return _load(source, places, class_names)


def _load(source, places, class_names) -> RealClips:
  """Clips of some views of each of some scenes."""
  scenes, frames = source.scenes, window_of(source).middle
  found = []
  for number, views in places:
    scene = scenes.views(number, views, _KEYS)
    name = scenes.class_names[scene[schema.CLASS]]
    label = len(class_names)
    if name in class_names:
      label = class_names.index(name)
    found += [
      (
        scene[schema.FRAMES][i, frames],
        label,
        scene[schema.CAPTION],
        number,
        view,
        scene[schema.INTRINSICS][i],
        scene[schema.CAMERA_FROM_WORLD][i],
      )
      for i, view in enumerate(views)
    ]
  clips, labels, captions, numbers, views, *matrices = zip(*found, strict=True)
  cameras = ClipCameras(
    np.array(numbers, np.int32),
    np.array(views, np.int32),
    *map(np.stack, matrices),
  )
  return RealClips(
    np.stack(clips), np.array(labels, np.int32), captions, cameras
  )


_KEYS = (
  schema.FRAMES,
  schema.CLASS,
  schema.CAPTION,
  schema.INTRINSICS,
  schema.CAMERA_FROM_WORLD,
)
