"""The cameras of scenes: a user's, or the rig that a run was trained on."""

import dataclasses
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from magvit3d.data.scene_clips import spread_views
from magvit3d.errors import UserError
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.models.cameras import Cameras


@dataclasses.dataclass(frozen=True)
class Rig:
  """The cameras of one scene, for all scenes alike, or of each of n scenes.

  Attributes:
    views: Numbers of the cameras.
    intrinsics: (v, 3, 3) or (n, v, 3, 3), pixels.
    camera_from_world: (v, 3, 4) or (n, v, 3, 4), metres.
  """

  views: Int[np.ndarray, " v"]
  intrinsics: Float[np.ndarray, "*n v 3 3"]
  camera_from_world: Float[np.ndarray, "*n v 3 4"]

  @property
  def num_views(self) -> int:
    """Cameras of a scene, v."""
    return len(self.views)

  def of_scenes(self, count: int) -> Cameras:
    """Returns the cameras of that many scenes.

    Raises:
      UserError: They are those of another number of scenes.
    """
    if self.intrinsics.ndim == 4 and len(self.intrinsics) != count:
      raise UserError(
        f"cameras are those of {len(self.intrinsics)} scenes, and there are "
        f"{count}. Leave the first axis out for one rig in all of them."
      )
    shape = (count, self.num_views)
    return Cameras(
      views=np.broadcast_to(self.views, shape),
      intrinsics=np.broadcast_to(self.intrinsics, (*shape, 3, 3)),
      camera_from_world=np.broadcast_to(self.camera_from_world, (*shape, 3, 4)),
    )


def read_rig(trained: TrainedNetworks, cameras: Any = None) -> Rig:
  """Checks a user's cameras; None stands for those of the run's data.

  Args:
    trained: Networks.
    cameras: With `intrinsics` (v, 3, 3), pixels, and `camera_from_world` (v, 3,
      4), metres, such as `data_gen.rendering.cameras.Cameras`; or
      (n, v, ...), for each scene its own. `Cameras` of networks say which of
      the rig they are; others are its first ones.

  Raises:
    UserError: They are not, or the data have no rig that all scenes share.
  """
  if cameras is None:
    return _own_rig(trained)
  arrays = {
    "intrinsics": _read_array(cameras, "intrinsics", 3),
    "camera_from_world": _read_array(cameras, "camera_from_world", 4),
  }
  shapes = [array.shape[:-2] for array in arrays.values()]
  if shapes[0] != shapes[1]:
    raise UserError(
      f"cameras.intrinsics are of {_describe(shapes[0])}, "
      f"camera_from_world of {_describe(shapes[1])}."
    )
  size = getattr(cameras, "image_size", trained.image_size)
  if size != trained.image_size:
    raise UserError(
      f"cameras are of images of {size} pixels; expected "
      f"{trained.image_size}, those of the clips."
    )
  num_views = shapes[0][-1]
  embedding = trained.model.transformer.camera_embedding
  if embedding == "view" and num_views > trained.num_cameras:
    raise UserError(
      f"There are {num_views} cameras, and this transformer has learnt the "
      f"{trained.num_cameras} of its rig "
      "(config.transformer.camera_embedding='view')."
    )
  numbers = np.arange(num_views)
  if isinstance(cameras, Cameras):
    numbers = np.asarray(cameras.views)[0]
  return Rig(numbers.astype(np.int32), **arrays)


def _own_rig(trained: TrainedNetworks) -> Rig:
  """As many cameras of the run's rig as it was trained with, evenly apart."""
  if trained.rig is None:
    raise UserError(
      "This run's scenes have cameras of their own each, so there are none to "
      "take where `cameras` is left out. Give some: "
      "data_gen.rendering.cameras.Cameras, or another object with "
      "intrinsics and camera_from_world."
    )
  views = spread_views(trained.model.num_views, trained.num_cameras)
  return Rig(
    views.astype(np.int32),
    np.asarray(trained.rig.intrinsics, np.float32)[views],
    np.asarray(trained.rig.camera_from_world, np.float32)[views],
  )


def _read_array(cameras: Any, name: str, columns: int) -> np.ndarray:
  if not hasattr(cameras, name):
    raise UserError(
      f"cameras has no {name}; expected data_gen.rendering.cameras.Cameras, or "
      "another object with intrinsics and camera_from_world."
    )
  array = np.asarray(getattr(cameras, name), np.float32)
  is_right = array.ndim in (3, 4) and array.shape[-2:] == (3, columns)
  if not is_right or not array.size:
    raise UserError(
      f"cameras.{name} has the shape {array.shape}; expected (v, 3, "
      f"{columns}), or (n, v, 3, {columns}) for each scene its own."
    )
  if not np.isfinite(array).all():
    raise UserError(f"cameras.{name} has values that are not finite.")
  return array


def _describe(shape: Sequence[int]) -> str:
  scenes = f"{shape[0]} scenes with " if len(shape) > 1 else ""
  return f"{scenes}{shape[-1]} cameras"


def view_numbers(given_views: Any) -> tuple[int, ...]:
  """Returns the numbers of views that are given, as a user says them.

  Raises:
    UserError: They are no whole numbers.
  """
  try:
    return tuple(operator.index(view) for view in given_views)
  except TypeError as error:
    raise UserError(
      f"given_views={given_views!r} must be numbers of cameras, such as (0,)."
    ) from error


def check_given_views(
  given_views: Sequence[int], num_views: int
) -> tuple[int, ...]:
  """Returns the numbers of views that are given.

  Raises:
    UserError: They are none, all, or not among the cameras.
  """
  views = tuple(int(view) for view in given_views)
  is_right = (
    0 < len(views) < num_views
    and len(set(views)) == len(views)
    and all(0 <= view < num_views for view in views)
  )
  if not is_right:
    raise UserError(
      f"given_views={list(views)} must be some of the cameras 0 to "
      f"{num_views - 1}, each once, and leave one to predict."
    )
  return views
