"""What is known of the scenes that clips are scored on."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.data.clips import background_of
from magvit3d.errors import UserError
from magvit3d.evaluation.metres.silhouettes import KnownSolid

_MIN_IMAGE_SIZE = 11  # The window of SSIM.
_KEYS = (
  schema.FRAMES,
  schema.MASKS,
  schema.BACKGROUND,
  schema.BACKGROUND_FRAMES,
  schema.SHAPE,
  schema.MOTION,
  schema.SCENE_ID,
  schema.TRAJECTORY,
  schema.ORIENTATION,
  schema.SIZE,
  schema.COLOR,
  schema.INTRINSICS,
  schema.CAMERA_FROM_WORLD,
)


@dataclasses.dataclass(frozen=True)
class ScoredScene:
  """A scene with one object, as v cameras see it in t frames.

  Attributes:
    frames: The true ones.
    masks: Pixels whose centre shows the object.
    background: What is behind it, in [0, 1]: colours (v, 1, 1, 3), or pictures
      (v, h, w, 3), of a ground that catches shadows.
    intrinsics: Of the cameras, pixels.
    camera_from_world: Rotation and translation, metres.
    trajectory: True path of the object's origin, metres.
    solid: Its shape, size and orientation.
    color: RGB in [0, 1].
    motion: Name of the motion.
  """

  frames: UInt8[np.ndarray, "v t h w 3"]
  masks: Bool[np.ndarray, "v t h w"]
  background: Float[np.ndarray, "v _ _ 3"]
  intrinsics: Float[np.ndarray, "v 3 3"]
  camera_from_world: Float[np.ndarray, "v 3 4"]
  trajectory: Float[np.ndarray, "t 3"]
  solid: KnownSolid
  color: Float[np.ndarray, " 3"]
  motion: str

  def of_views(self, chosen: Sequence[int] | np.ndarray) -> "ScoredScene":
    """Returns the scene as some of its cameras see it."""
    return dataclasses.replace(
      self,
      frames=self.frames[chosen],
      masks=self.masks[chosen],
      background=self.background[chosen],
      intrinsics=self.intrinsics[chosen],
      camera_from_world=self.camera_from_world[chosen],
    )


def check_source(source: SceneSource) -> None:
  """Raises UserError unless the scenes of a split can be scored in metres."""
  reason = reason_against(source)
  if reason:
    raise UserError(f"--data {reason}")


def reason_against(source: SceneSource, least_views: int = 2) -> str:
  """Returns why scenes cannot be scored in metres, and what to do; or "".

  It goes on after the name of the data set.

  Args:
    source: Of the scenes.
    least_views: 1 for scores that are told of one camera, in pixels.
  """
  if source.num_views < least_views:
    return (
      "has one camera, and one camera cannot tell where an object is. Use a "
      "data set with two cameras or more (python -m data_gen --camera_rig)."
    )
  if schema.OBJECTS_SHAPE in source.features:
    return (
      "has scenes with several objects, and pixels do not tell which of them "
      "is the main one. Use a data set without --num_objects, --num_clutter "
      "and --num_transients."
    )
  if not source.shape_names:
    return (
      "is footage: its records lack the object's shape, size and orientation, "
      "and may lack its track. Use rendered scenes (python -m data_gen)."
    )
  if source.image_size < _MIN_IMAGE_SIZE:
    return (
      f"has frames of {source.image_size} pixels, and SSIM needs "
      f"{_MIN_IMAGE_SIZE} at least. Use a data set with larger frames."
    )
  return ""


def indices_of(
  scene_ids: Sequence[int], source: SceneSource, split: str, flag: str
) -> list[int]:
  """Returns the places of scenes in a split.

  Raises:
    UserError: `flag` has a scene that the split has not.
  """
  first = schema.scene_id(split, 0)
  unknown = [i for i in scene_ids if not first <= i < first + len(source)]
  if unknown:
    raise UserError(
      f"{flag}: scene_id {unknown[0]} is no scene of --split={split}, whose "
      f"{len(source)} scenes are {first} to {first + len(source) - 1}"
      f"{f', nor are {len(unknown) - 1} more' * (len(unknown) > 1)}. Name the "
      "split and the data that the videos were made from."
    )
  return [scene_id - first for scene_id in scene_ids]


def load_scene(
  source: SceneSource,
  index: int,
  views: Sequence[int] | None = None,
  frames: slice = slice(None),
) -> ScoredScene:
  """Returns a scene of a source that `check_source` let pass.

  Args:
    source: Of one split.
    index: Of the scene in it.
    views: Cameras; None for all.
    frames: That count.

  Raises:
    UserError: Its record lacks the object's path, size or orientation.
  """
  if views is None:
    views = range(source.num_views)
  scene = source.views(index, views, _KEYS)
  for key in (schema.TRAJECTORY, schema.ORIENTATION, schema.SIZE):
    if not np.isfinite(scene[key]).all():
      raise UserError(
        f"--data: the {key} of scene {scene[schema.SCENE_ID]} is not known, so "
        "there is nothing to score against. Leave the scene out of the videos."
      )
  background = background_of(scene)
  if background.ndim == 3:
    background = np.repeat(background[None], len(views), axis=0)
  return ScoredScene(
    frames=scene[schema.FRAMES][:, frames],
    masks=scene[schema.MASKS][:, frames] > 0,
    background=background,
    intrinsics=scene[schema.INTRINSICS].astype(float),
    camera_from_world=scene[schema.CAMERA_FROM_WORLD].astype(float),
    trajectory=scene[schema.TRAJECTORY][frames].astype(float),
    solid=KnownSolid(
      shape=source.shape_names[scene[schema.SHAPE]],
      size=float(scene[schema.SIZE]),
      orientation=scene[schema.ORIENTATION][frames].astype(float),
    ),
    color=scene[schema.COLOR].astype(float),
    motion=source.motion_names[scene[schema.MOTION]],
  )
