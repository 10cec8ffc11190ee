"""Clips of scenes in a NumPy archive, read a scene at a time.

The archive has `scene_id`, integers (n,), and `frames`, uint8 (n, v, t, h, w,
3): of each scene the clips of all its cameras. All scenes of a test split may
take more memory than there is, so the frames are never read as a whole.
"""

import contextlib
import math
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
from jaxtyping import UInt8

from magvit3d.errors import UserError

_KEYS = ("scene_id", "frames")
_LAYOUT = "(scenes, cameras, frames, height, width, 3)"
_READ_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


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
    self._path, self._name = path, f"{flag}={path}"
    if not path.is_file():
      raise UserError(f"{self._name} is not there, or is no file.")
    try:
      with zipfile.ZipFile(path) as archive:
        self._check_keys(archive.namelist())
      with self._open("scene_id") as file:
        scene_ids = np.lib.format.read_array(file, allow_pickle=False)
      with self._open("frames") as file:
        self.shape, is_transposed, dtype = _read_header(file)
    except _READ_ERRORS as error:
      raise self._damaged(error) from error
    if scene_ids.ndim != 1 or not np.issubdtype(scene_ids.dtype, np.integer):
      raise UserError(
        f"{self._name}: scene_id is {scene_ids.dtype} {scene_ids.shape}; "
        "expected integers, one a scene, as in the data set's records."
      )
    self._check_frames(dtype, is_transposed, len(scene_ids))
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
      with self._open("frames") as file:
        _read_header(file)
        for _ in range(self.shape[0]):
          content = file.read(num_bytes)
          if len(content) < num_bytes:
            raise EOFError("it ends too early")
          yield np.frombuffer(content, np.uint8).reshape(shape)
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

  def _check_keys(self, members: Sequence[str]) -> None:
    names = [name.removesuffix(".npy") for name in members]
    missing = [key for key in _KEYS if key not in names]
    if missing:
      raise UserError(
        f"{self._name} has no {' and no '.join(missing)}; it has "
        f"{', '.join(names) or 'nothing'}. Save it as np.savez(FILE, "
        "scene_id=..., frames=...)."
      )

  def _check_frames(self, dtype, is_transposed, num_scenes) -> None:
    if dtype != np.uint8:
      raise UserError(
        f"{self._name}: frames is of type {dtype}; expected uint8 in [0, 255]. "
        "Multiply floats in [0, 1] by 255 and round them."
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
    if is_transposed:
      raise UserError(
        f"{self._name}: frames is stored column by column. Save "
        "np.ascontiguousarray(frames)."
      )

  @contextlib.contextmanager
  def _open(self, key: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(self._path) as archive:
      with archive.open(f"{key}.npy") as file:
        yield file

  def _damaged(self, error: Exception) -> UserError:
    return UserError(
      f"{self._name} cannot be read as a NumPy archive ({error}). Save it "
      "again: np.savez(FILE, scene_id=..., frames=...)."
    )


def _read_header(file) -> tuple[tuple[int, ...], bool, np.dtype]:
  """Returns shape, whether it is in Fortran's order, and type."""
  version = np.lib.format.read_magic(file)
  if version == (1, 0):
    return np.lib.format.read_array_header_1_0(file)
  return np.lib.format.read_array_header_2_0(file)
