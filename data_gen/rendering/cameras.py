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
MAX_VIEWS = 64
MIN_DEPTH_M = 0.05  # Of what is in front of a camera.
RING_RADIUS, RING_HEIGHT = 2.0, 1.0  # Metres.
FLAT_WIDTH_M = 1.28  # A hundredth of a metre is a pixel of 128.
RANDOM_DISTANCES_M = (1.9, 2.8)  # Of random rigs, from the origin.
OOD_LIFT_M = 0.5  # Of the cameras of split ood_camera, but of random rigs.
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


def num_views(rig: str) -> int:
  """Returns the number of cameras of a rig; see `parse_rig`."""
  positions = parse_rig(rig)
  return positions if isinstance(positions, int) else len(positions)


def parse_rig(rig: str) -> np.ndarray | int:
  """Reads the flag --camera_rig.

  Args:
    rig: "default", "ring:N", "random:N", or "x,y,z; x,y,z; ..." in metres.

  Returns:
    Positions (V, 3), metres; or V, if they are drawn in each scene.

  Raises:
    ValueError: It is none of these, or two cameras are in one place.
  """
  if rig == "default":
    return np.array(DEFAULT_POSITIONS)
  kind, colon, count = rig.partition(":")
  if colon and kind in ("ring", "random"):
    if not count.isdecimal() or not 1 <= int(count) <= MAX_VIEWS:
      raise ValueError(
        f"--camera_rig={rig}: give a number of cameras from 1 to {MAX_VIEWS}, "
        f"such as {kind}:4."
      )
    return _ring(int(count)) if kind == "ring" else int(count)
  try:
    positions = np.array(
      [[float(x) for x in part.split(",")] for part in rig.split(";")]
    )
    is_good = positions.shape[1:] == (3,) and np.isfinite(positions).all()
  except ValueError:
    is_good = False
  if not is_good or len(positions) > MAX_VIEWS:
    raise ValueError(
      f"--camera_rig={rig} is not known: give 'default', 'ring:N', 'random:N', "
      f"or up to {MAX_VIEWS} positions in metres, such as '2,0,1; 0,2,1'."
    )
  if (np.linalg.norm(positions[:, :2], axis=-1) < 0.1).any():
    raise ValueError(
      f"--camera_rig={rig}: a camera straight above or below the origin has no "
      "upright image. Move it aside by 0.1 m at least."
    )
  if len(np.unique(positions, axis=0)) < len(positions):
    raise ValueError(f"--camera_rig={rig}: two cameras are in one place.")
  return positions


def _ring(count: int) -> np.ndarray:
  """Positions (V, 3) evenly around the z axis, the first on the x axis."""
  angles = 2 * math.pi * np.arange(count) / count
  distance, height = RING_RADIUS * np.ones(count), RING_HEIGHT * np.ones(count)
  return np.stack(
    [distance * np.cos(angles), distance * np.sin(angles), height], -1
  )


def make_default_rig(image_size: int) -> Cameras:
  """Returns three cameras around the origin, 2 m away and 1 m up."""
  return make_rig(
    np.array(DEFAULT_POSITIONS),
    np.zeros((3, 3)),
    np.full(3, VERTICAL_FIELD_OF_VIEW),
    image_size,
  )


def make_rig(
  positions: np.ndarray,
  targets: np.ndarray,
  fields_of_view: np.ndarray,
  image_size: int,
) -> Cameras:
  """Returns upright cameras.

  The matrices are rounded to float32, as records store them, so that what is
  rendered and what is stored is the same rig.

  Args:
    positions: (V, 3), metres.
    targets: Points that they look at, (V, 3), metres.
    fields_of_view: Vertical, (V,), radians.
    image_size: Height and width, pixels.
  """
  return Cameras(
    intrinsics=_as_stored(
      np.stack([make_intrinsics(image_size, angle) for angle in fields_of_view])
    ),
    camera_from_world=_as_stored(
      np.stack(
        [look_at(*pair) for pair in zip(positions, targets, strict=True)]
      )
    ),
    image_size=image_size,
  )


def make_flat_rig(image_size: int, width_m: float = FLAT_WIDTH_M) -> Cameras:
  """Returns the camera of flat scenes, which sees the plane z = 0.

  The image is `width_m` wide there, x to the right and y down.
  """
  intrinsics = make_intrinsics(image_size, 2 * math.atan(width_m / 2))
  matrix = np.column_stack([np.eye(3), [0.0, 0.0, 1.0]])
  return Cameras(
    _as_stored(intrinsics[None]), _as_stored(matrix[None]), image_size
  )


def to_opengl(camera_from_world: np.ndarray) -> np.ndarray:
  """Turns OpenCV extrinsics into OpenGL's (x right, y up, z backward).

  Args:
    camera_from_world: (..., 3, 4), from points in the world to the camera.

  Returns:
    (..., 4, 4), from points in the world to the camera: a view matrix. Its
    inverse is the camera's pose.
  """
  matrix = np.zeros((*camera_from_world.shape[:-2], 4, 4))
  matrix[..., :3, :] = camera_from_world * np.array([[1.0], [-1.0], [-1.0]])
  matrix[..., 3, 3] = 1.0
  return matrix


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
