"""Pinhole cameras looking at the scene from several sides.

Conventions, used everywhere in data_gen and magvit3d:
  World: right-handed, z up, metres; objects stay within x, y in [-1, 1] and
  z in [-0.5, 0.5]. Camera frame as OpenCV: x right, y down, z forward.
  Pixel (0, 0) is the centre of the top-left pixel, so an image covers
  [-0.5, width - 0.5] x [-0.5, height - 0.5]. Matrix `a_from_b` maps points in
  frame b to frame a. A world point p projects to the pixel x / z, y / z of
  K (R p + t), with K the intrinsics and [R | t] `camera_from_world`.
  Angles are in radians, quaternions are (w, x, y, z).
"""

import dataclasses
import math

import numpy as np

VERTICAL_FIELD_OF_VIEW = math.radians(45)
DEFAULT_POSITIONS = ((2.0, 0.0, 1.0), (0.0, 2.0, 1.0), (-2.0, 0.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Cameras:
  """V cameras with images of the same square size.

  Attributes:
    intrinsics: (V, 3, 3), pixels.
    camera_from_world: (V, 3, 4), rotation and translation in metres.
    image_size: Height and width, pixels.
  """

  intrinsics: np.ndarray
  camera_from_world: np.ndarray
  image_size: int

  @property
  def rotations(self) -> np.ndarray:
    """Rotations R of `camera_from_world`, (V, 3, 3)."""
    return self.camera_from_world[:, :, :3]

  @property
  def positions(self) -> np.ndarray:
    """Optical centres in the world, (V, 3), metres."""
    return -np.einsum(
      "vij,vi->vj", self.rotations, self.camera_from_world[:, :, 3]
    )


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Returns `camera_from_world` (3, 4) of an upright camera facing `target`.

  The line of sight must not be vertical: +z of the world is up in the image.
  """
  forward = np.asarray(target, float) - np.asarray(position, float)
  forward /= np.linalg.norm(forward)
  right = np.cross(forward, [0.0, 0.0, 1.0])
  right /= np.linalg.norm(right)
  down = np.cross(forward, right)
  rotation = np.stack([right, down, forward])
  return np.column_stack([rotation, -rotation @ np.asarray(position, float)])


def make_intrinsics(image_size: int, vertical_field_of_view: float):
  """Returns K (3, 3) of a square image with the centre as principal point."""
  focal_px = image_size / 2 / math.tan(vertical_field_of_view / 2)
  centre_px = (image_size - 1) / 2
  return np.array(
    [[focal_px, 0, centre_px], [0, focal_px, centre_px], [0, 0, 1.0]]
  )


def make_default_rig(image_size: int) -> Cameras:
  """Returns three cameras around the origin, 2 m away and 1 m up.

  The matrices are rounded to float32, as records store them, so that what is
  rendered and what is stored is the same rig.
  """
  matrices = [look_at(p, (0.0, 0.0, 0.0)) for p in DEFAULT_POSITIONS]
  intrinsics = make_intrinsics(image_size, VERTICAL_FIELD_OF_VIEW)
  return Cameras(
    intrinsics=_as_stored(np.stack([intrinsics] * len(matrices))),
    camera_from_world=_as_stored(np.stack(matrices)),
    image_size=image_size,
  )


def project(
  points: np.ndarray, intrinsics: np.ndarray, camera_from_world: np.ndarray
) -> np.ndarray:
  """Projects world points into one camera.

  Args:
    points: (..., 3), metres, in front of the camera.
    intrinsics: (3, 3).
    camera_from_world: (3, 4).

  Returns:
    Pixel coordinates (x right, y down), (..., 2).
  """
  in_camera = points @ camera_from_world[:, :3].T + camera_from_world[:, 3]
  homogeneous = in_camera @ intrinsics.T
  return homogeneous[..., :2] / homogeneous[..., 2:]


def _as_stored(array: np.ndarray) -> np.ndarray:
  return array.astype(np.float32).astype(np.float64)
