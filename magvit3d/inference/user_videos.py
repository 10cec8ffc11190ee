"""Videos as users have them, as the networks' clips, and back.

A user's video is uint8 in [0, 255] or floats in [0, 1], one clip (t, h, w, 3)
or a batch (b, t, h, w, 3); results have the same type and rank.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True)
class Videos:
  """A user's video as the networks read it.

  Attributes:
    clips: float32 (b, t, h, w, 3) in [0, 1].
    pixels: The same as it was given, always a batch.
    is_single: Whether it was one clip.
  """

  clips: Float[np.ndarray, "b t h w 3"]
  pixels: np.ndarray
  is_single: bool

  def like_given(self, array: np.ndarray) -> np.ndarray:
    """Returns an array (b, ...) without b, if there was one clip."""
    return array[0] if self.is_single else array


def read_videos(
  video: Any, clip_shape: Sequence[int], *, least_frames: int | None = None
) -> Videos:
  """Checks a video, and turns it into clips.

  Args:
    video: Array, or what NumPy makes one of.
    clip_shape: (t, h, w, 3).
    least_frames: If given, clips of that many frames or more will do.

  Raises:
    UserError: Shape, type or values are others.
  """
  array = _as_array("The video", video)
  t, h, w, c = clip_shape
  frames = f"{t}" if least_frames in (None, t) else f"{least_frames} to {t}"
  least = t if least_frames is None else least_frames
  is_right = (
    array.ndim in (4, 5)
    and least <= array.shape[-4] <= t
    and array.shape[-3:] == (h, w, c)
  )
  if not is_right or not array.size:
    raise UserError(
      f"The video has the shape {array.shape}; expected ({frames}, {h}, {w}, "
      f"{c}), frames of RGB, or a batch of such clips with an axis before it."
    )
  # JAX's question, as NumPy does not know bfloat16.
  is_float = jnp.issubdtype(array.dtype, jnp.floating)
  if array.dtype != np.uint8 and not is_float:
    raise UserError(
      f"The video is of type {array.dtype}; expected uint8 in [0, 255], or "
      "floats in [0, 1]."
    )
  if is_float:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # Also where they are not a number.
      raise UserError(
        f"The video's values go from {low:g} to {high:g}; expected floats in "
        "[0, 1]. Divide 8-bit values by 255, or give them as uint8."
      )
  batch = array if array.ndim == 5 else array[None]
  clips = batch.astype(np.float32)
  if not is_float:
    clips /= np.float32(255)
  return Videos(clips, batch, array.ndim == 4)


def read_views(
  video: Any,
  clip_shape: Sequence[int],
  count: int,
  *,
  least_frames: int | None = None,
) -> Videos:
  """Checks the clips of some views of a scene, or of a batch of scenes.

  Args:
    video: (count, t, h, w, 3) or (n, count, t, h, w, 3).
    clip_shape: (t, h, w, 3).
    count: Views.
    least_frames: See `read_videos`.

  Returns:
    `clips` and `pixels` with the views of a scene in a row, (n*count, ...);
    `is_single` where there is one scene.

  Raises:
    UserError: Shape, type or values are others.
  """
  array = _as_array("The video", video)
  if array.ndim not in (5, 6) or array.shape[-5] != count:
    t, h, w, c = clip_shape
    raise UserError(
      f"The video has the shape {array.shape}; expected ({count}, {t}, {h}, "
      f"{w}, {c}), a clip for each view, or a batch of such scenes with an "
      "axis before it."
    )
  videos = read_videos(
    array.reshape(-1, *array.shape[-4:]), clip_shape, least_frames=least_frames
  )
  return dataclasses.replace(videos, is_single=array.ndim == 5)


def without_holes(video: Any, mask: Any) -> Any:
  """Returns a video whose holes are black, whatever values were in them.

  Where the mask does not fit it, the video as it is: `read_mask` tells.
  """
  array, is_hole = _as_array("The video", video), _as_array("The mask", mask)
  fits = array.shape[:-1][-is_hole.ndim :] == is_hole.shape
  if is_hole.dtype != np.bool_ or not is_hole.ndim or not fits:
    return video
  return np.where(is_hole[..., None], array.dtype.type(0), array)


def to_pixels(clips: Float[np.ndarray, "..."], dtype: Any) -> np.ndarray:
  """Returns clips in [0, 1] as `dtype`: uint8, rounded, or a float type.

  Raises:
    UserError: It is neither.
  """
  try:
    dtype = np.dtype(dtype)
  except TypeError as error:
    raise UserError(
      f"dtype={dtype!r} is no type ({error}); expected uint8 or floats."
    ) from error
  if dtype == np.uint8:
    return np.rint(clips * 255).astype(np.uint8)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise UserError(
      f"dtype={dtype} is no type of videos; expected uint8 or floats."
    )
  return clips.astype(dtype)


def read_tokens(
  tokens: Any, latent_shape: Sequence[int], codebook_size: int
) -> tuple[Int[np.ndarray, "b t h w"], bool]:
  """Checks token grids; returns int32 ones and whether there was but one.

  Raises:
    UserError: Shape, type or values are others.
  """
  array, grid = _as_array("The tokens", tokens), tuple(latent_shape)
  if array.ndim not in (3, 4) or array.shape[-3:] != grid or not array.size:
    raise UserError(
      f"The tokens have the shape {array.shape}; expected {grid}, or a batch "
      "of such grids with an axis before it."
    )
  if not jnp.issubdtype(array.dtype, jnp.integer):
    raise UserError(f"The tokens are of type {array.dtype}; expected integers.")
  low, high = int(array.min()), int(array.max())
  if low < 0 or high >= codebook_size:
    raise UserError(
      f"The tokens go from {low} to {high}; expected codes from 0 to "
      f"{codebook_size - 1}."
    )
  batch = array if array.ndim == 4 else array[None]
  return batch.astype(np.int32), array.ndim == 3


def read_mask(
  mask: Any, shape: tuple[int, ...]
) -> Bool[np.ndarray, "b *v t h w"]:
  """Checks a mask of the pixels to fill in; without b it serves all.

  Args:
    mask: Array, or what NumPy makes one of.
    shape: (b, t, h, w) of clips, or (b, v, t, h, w) of scenes.

  Raises:
    UserError: Shape or type are others, or no pixel of a clip is given.
  """
  array = _as_array("The mask", mask)
  if array.shape not in (shape, shape[1:]):
    raise UserError(
      f"The mask has the shape {array.shape}; expected {shape[1:]}, True where "
      f"pixels are to be filled in, or {shape} for each its own."
    )
  if array.dtype != np.bool_:
    raise UserError(f"The mask is of type {array.dtype}; expected bool.")
  array = np.broadcast_to(array, shape)
  if array.all(axis=(-3, -2, -1)).any():
    raise UserError(
      "The mask is True everywhere in a clip, so nothing of it is given. Use "
      "generate for whole clips, predict_views for whole views."
    )
  return array


def _as_array(name: str, values: Any) -> np.ndarray:
  """What NumPy makes of an argument.

  Raises:
    UserError: Its rows are of several lengths.
  """
  try:
    return np.asarray(values)
  except ValueError as error:
    raise UserError(f"{name} is no array ({error}).") from error
