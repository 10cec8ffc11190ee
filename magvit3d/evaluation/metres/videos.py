"""Clips of scenes in a NumPy archive, read a scene at a time.

The archive has `scene_id`, integers (n,), and `frames`, uint8 (n, v, t, h, w,
3): of each scene the clips of all its cameras. All scenes of a test split may
take more memory than there is, so the frames are never read as a whole.
"""

import math
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from data_gen.files import array_files
from magvit3d.errors import UserError

_KEYS = ("scene_id", "frames")
_MOST_SCENES = 10**7
_LAYOUT = "(scenes, cameras, frames, height, width, 3)"
_READ_ERRORS = (OSError, array_files.ArrayFileError)


class SceneVideos:
  """The clips of an archive.

  Attributes:
    scene_ids: Of each scene, in the order of the file.
    shape: Of `frames`.
  """

  def __init__(self, path: pathlib.Path, flag: str):
    """Reads all but the frames.

    Args:
      path: The archive.
      flag: That named it, such as "--videos".

    Raises:
      UserError: It cannot be read, or is something else.
    """
    self._name = f"{flag}={path}"
    if not path.is_file():
      raise UserError(f"{self._name} is not there, or is no file.")
    try:
      arrays = array_files.open_npz(path)
    except _READ_ERRORS as error:
      raise self._damaged(error) from error
    self._check_keys(list(arrays))
    stored, self._frames = (arrays[key] for key in _KEYS)
    self.shape = self._frames.shape
    if stored.dtype.hasobject:
      raise self._damaged(ValueError("scene_id is a pickle, which is not read"))
    if stored.ndim != 1 or not np.issubdtype(stored.dtype, np.integer):
      raise UserError(
        f"{self._name}: scene_id is {stored.dtype} {stored.shape}; "
        "expected integers, one a scene, as in the data set's records."
      )
    self._check_frames(stored.shape[0])
    if stored.shape[0] > _MOST_SCENES:
      raise UserError(
        f"{self._name} has {stored.shape[0]} scenes, more than any data set."
      )
    try:
      scene_ids = np.asarray(stored)
    except _READ_ERRORS as error:
      raise self._damaged(error) from error
    self.scene_ids = [int(scene_id) for scene_id in scene_ids]
    values, counts = np.unique(scene_ids, return_counts=True)
    if (counts > 1).any():
      raise UserError(
        f"{self._name}: scene_id {values[counts > 1][0]} is there "
        f"{counts.max()} times. Give one set of clips a scene; score further "
        "samples in files of their own."
      )

  def __iter__(self) -> Iterator[UInt8[np.ndarray, "v t h w 3"]]:
    """Yields the clips of each scene.

    Raises:
      UserError: The file is damaged.
    """
    shape = self.shape[1:]
    num_bytes = math.prod(shape)
    try:
      with self._frames.opened() as file:
        for _ in range(self.shape[0]):
          content = file.read(num_bytes)
          yield np.frombuffer(content, np.uint8).reshape(shape)
        file.finish()
    except _READ_ERRORS as error:
      raise self._damaged(error) from error

  def check_shape(self, clip_shape: tuple[int, ...]) -> None:
    """Raises UserError unless a scene's clips have a shape (v, t, h, w, 3)."""
    if self.shape[1:] != clip_shape:
      raise UserError(
        f"{self._name}: frames has the shape {self.shape}; expected "
        f"({self.shape[0]}, {', '.join(map(str, clip_shape))}), as the scenes "
        f"of --data: {_LAYOUT}."
      )

  def _check_keys(self, names: Sequence[str]) -> None:
    missing = [key for key in _KEYS if key not in names]
    if missing:
      raise UserError(
        f"{self._name} has no {' and no '.join(missing)}; it has "
        f"{', '.join(names) or 'nothing'}. Save it as np.savez(FILE, "
        "scene_id=..., frames=...)."
      )

  def _check_frames(self, num_scenes: int) -> None:
    if self._frames.dtype != np.uint8:
      raise UserError(
        f"{self._name}: frames is of type {self._frames.dtype}; expected uint8 "
        "in [0, 255]. Multiply floats in [0, 1] by 255 and round them."
      )
    if len(self.shape) != 6 or self.shape[-1] != 3:
      raise UserError(
        f"{self._name}: frames has the shape {self.shape}; expected {_LAYOUT}."
      )
    if self.shape[0] != num_scenes:
      raise UserError(
        f"{self._name} has {num_scenes} scene_id and the frames of "
        f"{self.shape[0]} scenes; expected as many of both."
      )
    if not num_scenes:
      raise UserError(f"{self._name} has no scenes.")
    if self._frames.is_transposed:
      raise UserError(
        f"{self._name}: frames is stored column by column. Save "
        "np.ascontiguousarray(frames)."
      )

  def _damaged(self, error: Exception) -> UserError:
    return UserError(
      f"{self._name} cannot be read as a NumPy archive ({error}). Save it "
      "again: np.savez(FILE, scene_id=..., frames=...)."
    )
