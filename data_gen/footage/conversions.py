"""Cameras of other programs as ours, for the JSON of docs/footage.md.

Ours are as in OpenCV: camera_from_world (3, 4) takes a point of the world,
metres, to the camera, x right, y down, z forward; intrinsics (3, 3) are in
pixels, the centre of the top-left one being (0, 0).
"""

import numpy as np

_FLIP = np.array([[1.0], [-1.0], [-1.0]])


def inverse(pose: np.ndarray) -> np.ndarray:
  """Returns camera_from_world of the camera's pose in the world, or back.

  Args:
    pose: (3, 4), or (4, 4) with the last row (0, 0, 0, 1).

  Returns:
    (3, 4).
  """
  rotation, place = pose[:3, :3], pose[:3, 3]
  return np.column_stack([rotation.T, -rotation.T @ place])


def pose_of_opengl(view_matrix: np.ndarray) -> np.ndarray:
  """Returns camera_from_world of one with y up and z backward, as OpenGL's.

  The reverse of `cameras.to_opengl`.

  Args:
    view_matrix: (3, 4) or (4, 4), from the world to the camera.
  """
  return view_matrix[:3] * _FLIP


def pose_of_blender(matrix_world: np.ndarray) -> np.ndarray:
  """Returns camera_from_world of a camera's matrix_world in Blender.

  Also of `transform_matrix` in the files of NeRF.

  Args:
    matrix_world: (3, 4) or (4, 4), from the camera, y up and z backward, to the
      world; without scaling.
  """
  return pose_of_opengl(inverse(matrix_world))


def pose_of_millimetres(pose: np.ndarray) -> np.ndarray:
  """Returns camera_from_world (3, 4) in metres of one in millimetres."""
  return np.column_stack([pose[:3, :3], pose[:3, 3] / 1000])


def intrinsics_of_size(
  intrinsics: np.ndarray, old: tuple[int, int], new: tuple[int, int]
) -> np.ndarray:
  """Returns intrinsics of the same images at another size.

  Args:
    intrinsics: (3, 3), pixels of the old size.
    old: Width and height, pixels.
    new: The same, of the video.
  """
  scale = np.array(new) / np.array(old)
  found = np.array(intrinsics, float)
  found[:2] *= scale[:, None]
  found[:2, 2] += (scale - 1) / 2  # Centres of pixels are whole numbers.
  return found


def intrinsics_of_parts(
  focal: tuple[float, float],
  centre: tuple[float, float],
  size: tuple[int, int],
) -> np.ndarray:
  """Returns intrinsics (3, 3) of ones that are parts of the image's size.

  Args:
    focal: fx as a part of the width, fy of the height.
    centre: Likewise; (0.5, 0.5) is the middle.
    size: Width and height, pixels.
  """
  (width, height), (x, y) = size, centre
  return np.array(
    [
      [focal[0] * width, 0.0, x * width - 0.5],
      [0.0, focal[1] * height, y * height - 0.5],
      [0.0, 0.0, 1.0],
    ]
  )


def intrinsics_of_millimetres(
  focal_mm: float, sensor_width_mm: float, size: tuple[int, int]
) -> np.ndarray:
  """Returns intrinsics (3, 3) of a lens in the middle of square pixels.

  Args:
    focal_mm: Focal length; with that of the 35 mm film, the sensor is 36 wide.
    sensor_width_mm: Width of what the image shows of the sensor.
    size: Width and height of the image, pixels.
  """
  width, height = size
  part = focal_mm / sensor_width_mm
  return intrinsics_of_parts((part, part * width / height), (0.5, 0.5), size)
