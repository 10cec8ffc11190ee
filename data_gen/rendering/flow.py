"""Optical flow of rendered solids: where each visible point goes next."""

from collections.abc import Sequence

import numpy as np

from data_gen.rendering import cameras as cameras_lib
from data_gen.rendering.rays import Solid


def make_flows(
  masks: np.ndarray,
  depths: np.ndarray,
  scene: Sequence[Solid],
  cameras: cameras_lib.Cameras,
) -> np.ndarray:
  """Follows the surface point at each pixel's centre to the next frame.

  Solids move rigidly, so this is exact, also where the point is hidden then.
  The background and the cameras do not move; the flow of a solid that is gone
  in the next frame is 0 too.

  Args:
    masks: uint8 (V, T, H, W); 0, or the solid's number + 1.
    depths: (V, T, H, W), metres along the camera's axis.
    scene: The solids.
    cameras: V cameras.

  Returns:
    Shifts to the right and down, float32 (V, T-1, H, W, 2), pixels.
  """
  shape = (*masks.shape[:1], masks.shape[1] - 1, *masks.shape[2:], 2)
  flows = np.zeros(shape, np.float32)
  for number, solid in enumerate(scene):
    is_followed = masks[:, :-1] == number + 1
    is_followed &= solid.is_there[1:, None, None]
    view, time, row, column = np.nonzero(is_followed)
    pixels = np.stack([column, row, np.ones_like(row)], -1).astype(float)
    in_camera = np.einsum(
      "nij,nj->ni", np.linalg.inv(cameras.intrinsics)[view], pixels
    )
    in_camera *= depths[view, time, row, column, None].astype(float)
    in_camera -= cameras.camera_from_world[view, :, 3]
    world = np.einsum("nji,nj->ni", cameras.rotations[view], in_camera)
    local = np.einsum(
      "nji,nj->ni", solid.rotations[time], world - solid.trajectory[time]
    )
    world = np.einsum("nij,nj->ni", solid.rotations[time + 1], local)
    world += solid.trajectory[time + 1]
    in_camera = np.einsum("nij,nj->ni", cameras.rotations[view], world)
    in_camera += cameras.camera_from_world[view, :, 3]
    moved = np.einsum("nij,nj->ni", cameras.intrinsics[view], in_camera)
    flows[view, time, row, column] = moved[:, :2] / moved[:, 2:] - pixels[:, :2]
  return flows
