"""Views of a scene that a transformer of several cameras makes of others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from magvit3d.errors import UserError
from magvit3d.inference.clip_networks import ClipNetworks
from magvit3d.inference.task_sampling import check_seed
from magvit3d.inference.trained_networks import TrainedNetworks
from magvit3d.models.cameras import Cameras
from magvit3d.tokens.views import as_clips, join_views

_KIND = "view_prediction"


class ViewSampler:
  """Predicts the clips of some cameras from those of others.

  Args:
    trained: Networks.
    networks: The same as functions.

  Raises:
    UserError: The transformer has not learnt to.
  """

  def __init__(self, trained: TrainedNetworks, networks: ClipNetworks):
    self._trained, self._networks = trained, networks
    found = []
    if trained.transformer_params is not None:
      found = [t.kind for t in trained.model.tasks]
    if _KIND not in found:
      raise UserError(
        f"predict_views needs the task {_KIND}, which "
        "configs/traj3d_multiview.py trains; "
        + (f"this run has learnt {', '.join(found)}." if found else "there is")
        + ("" if found else " only a tokenizer here.")
      )
    self._task_index = found.index(_KIND)

  def predict(
    self,
    clips: Float[np.ndarray, "b k t h w 3"],
    cameras: Cameras,
    given_views: Sequence[int],
    labels: Int[np.ndarray, "b"],
    seed: int,
  ) -> Float[np.ndarray, "b v t h w 3"]:
    """Returns the clips of all cameras; given ones as the tokenizer has them.

    Args:
      clips: Of the given views, in [0, 1].
      cameras: Of all views.
      given_views: Which of them the clips are of.
      labels: Classes, for a task that is told them.
      seed: Of all draws.
    """
    check_seed(seed)
    model = self._trained.model
    b, num_views = cameras.views.shape
    t, h, w = model.latent_shape
    tokens = np.zeros((b, num_views, t, h, w), np.int32)
    folded = clips.reshape(-1, *clips.shape[2:])
    found = self._networks.encode(folded)
    tokens[:, list(given_views)] = found.reshape(b, -1, t, h, w)
    is_given = np.zeros((b, num_views), bool)
    is_given[:, list(given_views)] = True
    mask = np.broadcast_to(is_given[..., None, None, None], tokens.shape)
    made = self._networks.complete(
      self._task_index,
      labels,
      join_views(tokens),
      join_views(mask),
      seed,
      cameras=cameras,
      is_given=is_given,
    )
    decoded = self._networks.decode(as_clips(made, num_views))
    return decoded.reshape(b, num_views, *decoded.shape[1:])

  def read_cameras(self, cameras: Any, count: int) -> Cameras:
    """Checks a user's cameras.

    Args:
      cameras: With `intrinsics` (v, 3, 3), pixels, and `camera_from_world`
        (v, 3, 4), metres, such as `data_gen.cameras.Cameras`; or (count, v,
        ...), for each scene its own.
      count: Scenes.

    Raises:
      UserError: They are not.
    """
    arrays = {}
    for name, columns in (("intrinsics", 3), ("camera_from_world", 4)):
      if not hasattr(cameras, name):
        raise UserError(
          f"cameras has no {name}; expected data_gen.cameras.Cameras, or "
          "another object with intrinsics and camera_from_world."
        )
      array = np.asarray(getattr(cameras, name), np.float32)
      is_right = array.ndim in (3, 4) and array.shape[-2:] == (3, columns)
      if not is_right or (array.ndim == 4 and len(array) != count):
        raise UserError(
          f"cameras.{name} has the shape {array.shape}; expected (v, 3, "
          f"{columns}), or ({count}, v, 3, {columns}) for each scene its own."
        )
      if not np.isfinite(array).all():
        raise UserError(f"cameras.{name} has values that are not finite.")
      if array.ndim == 3:
        array = np.broadcast_to(array, (count, *array.shape))
      arrays[name] = array
    num_views = arrays["intrinsics"].shape[1]
    if arrays["camera_from_world"].shape[1] != num_views:
      raise UserError(
        f"cameras.intrinsics are of {num_views} cameras, camera_from_world of "
        f"{arrays['camera_from_world'].shape[1]}."
      )
    size = getattr(cameras, "image_size", self._trained.image_size)
    if size != self._trained.image_size:
      raise UserError(
        f"cameras are of images of {size} pixels; expected "
        f"{self._trained.image_size}, those of the clips."
      )
    self._check_rig(num_views)
    numbers = np.tile(np.arange(num_views, dtype=np.int32), (count, 1))
    return Cameras(views=numbers, **arrays)

  def _check_rig(self, num_views: int) -> None:
    """Learned views are those of the rig, in its order."""
    total = self._trained.num_cameras
    embedding = self._trained.model.transformer.camera_embedding
    if embedding == "view" and num_views > total:
      raise UserError(
        f"There are {num_views} cameras, and this transformer has learnt the "
        f"{total} of its rig (config.transformer.camera_embedding='view')."
      )


def check_given_views(given_views: Sequence[int], num_views: int) -> list[int]:
  """Returns the views as a list.

  Raises:
    UserError: They are none, all, or not among the cameras.
  """
  views = [int(view) for view in given_views]
  is_right = (
    0 < len(views) < num_views
    and len(set(views)) == len(views)
    and all(0 <= view < num_views for view in views)
  )
  if not is_right:
    raise UserError(
      f"given_views={views} must be some of the cameras 0 to {num_views - 1}, "
      "each once, and leave one to predict."
    )
  return views
