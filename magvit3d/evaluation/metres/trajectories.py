"""Where an object is in space, from the pixels of several cameras alone.

It is found in each view and frame, and triangulated. The centroid of its
silhouette is not its projected origin: with the recorded shape, size and
orientation of the solid the difference is predicted where the estimate puts it,
and subtracted, twice. Without them the estimate is called raw.

World and cameras: see `data_gen.rendering.cameras`. Frames are estimated one by
one: nothing is smoothed over time.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from magvit3d.evaluation.metres.object_finding import FoundObject, find_object
from magvit3d.evaluation.metres.silhouettes import (
  KnownSolid,
  silhouette_offsets,
)
from magvit3d.evaluation.metres.triangulation import Points, triangulate

_NUM_CORRECTIONS = 2


def estimate(
  videos: UInt8[np.ndarray, "v t h w 3"],
  background: Float[np.ndarray, "v _ _ 3"],
  intrinsics: Float[np.ndarray, "v 3 3"],
  camera_from_world: Float[np.ndarray, "v 3 4"],
  solid: KnownSolid | None = None,
) -> Points:
  """Returns where the object is in each frame.

  Args:
    videos: What v >= 2 cameras see.
    background: What is behind the object, in [0, 1]: colours (v, 1, 1, 3) or
      pictures (v, h, w, 3).
    intrinsics: Of the cameras, pixels.
    camera_from_world: Rotation and translation, metres.
    solid: What a record tells of the object; None for the raw estimate.

  Raises:
    ValueError: There are fewer than two views.
  """
  found = find_object(videos, background)
  return locate(found, intrinsics, camera_from_world, solid)


def locate(
  found: FoundObject,
  intrinsics: Float[np.ndarray, "v 3 3"],
  camera_from_world: Float[np.ndarray, "v 3 4"],
  solid: KnownSolid | None = None,
) -> Points:
  """Returns where an object is that was found; see `estimate`."""
  if len(found.centroids) < 2:
    raise ValueError(
      f"{len(found.centroids)} view cannot tell where an object is: give the "
      "videos of two cameras or more."
    )

  def from_pixels(pixels):
    return triangulate(pixels, found.is_found, intrinsics, camera_from_world)

  points = from_pixels(found.centroids)
  if solid is None:
    return points
  for _ in range(_NUM_CORRECTIONS):
    offsets = silhouette_offsets(
      solid,
      points.positions,
      intrinsics,
      camera_from_world,
      found.silhouettes.shape[2:],
    )
    # There is none where the estimate puts the object out of a view's sight.
    points = from_pixels(found.centroids - np.nan_to_num(offsets))
  return points


def hold(
  points: Points, fallback: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "t 3"]:
  """Returns positions of all frames, also of those where nothing was found.

  There the object counts as standing where it was found last; before it is
  found for the first time, at `fallback`.
  """
  last = np.where(points.is_found, np.arange(len(points.is_found)), -1)
  last = np.maximum.accumulate(last)
  held = points.positions[np.maximum(last, 0)]
  return np.where((last >= 0)[:, None], held, fallback)


def centre_of_view(
  camera_from_world: Float[np.ndarray, "v 3 4"],
) -> Float[np.ndarray, " 3"]:
  """Returns the point nearest to the optical axes of all cameras, metres.

  It is the guess of an object's place that needs no pixels. Of axes that are
  all parallel, it is that of these points that is nearest to the cameras.
  """
  rotation = camera_from_world[:, :, :3].astype(float)
  centres = -np.einsum(
    "vij,vi->vj", rotation, camera_from_world[:, :, 3].astype(float)
  )
  axes = rotation[:, 2]
  # Projects onto the plane across each axis.
  across = np.eye(3) - axes[:, :, None] * axes[:, None]
  middle = centres.mean(0)
  right = np.einsum("vij,vj->i", across, centres - middle)
  return middle + np.linalg.pinv(across.sum(0), rcond=1e-9) @ right


def displacement_errors(
  positions: Float[np.ndarray, "t 3"], truth: Float[np.ndarray, "t 3"]
) -> Float[np.ndarray, " t"]:
  """Returns the distance of each frame, metres."""
  return np.linalg.norm(positions - truth.astype(float), axis=-1)


def average_displacement_error(
  positions: Float[np.ndarray, "t 3"],
  truth: Float[np.ndarray, "t 3"],
  is_counted: Bool[np.ndarray, " t"] | None = None,
) -> float:
  """Returns the mean distance (ADE), metres.

  Args:
    positions: What is scored.
    truth: The true path.
    is_counted: The frames that count; all by default. NaN if there are none.
  """
  errors = displacement_errors(positions, truth)
  if is_counted is not None:
    errors = errors[is_counted]
  return float(errors.mean()) if errors.size else float("nan")


def final_displacement_error(
  positions: Float[np.ndarray, "t 3"], truth: Float[np.ndarray, "t 3"]
) -> float:
  """Returns the distance in the last frame (FDE), metres."""
  return float(displacement_errors(positions, truth)[-1])


def constant_velocity(
  truth: Float[np.ndarray, "t 3"], given_frames: int
) -> Float[np.ndarray, "t 3"]:
  """Returns the true path, from `given_frames` on with its last known velocity.

  The velocity is the step between the last two given frames; zero if only one
  is given.

  Raises:
    ValueError: `given_frames` is not in [1, t].
  """
  num_frames = len(truth)
  if not 1 <= given_frames <= num_frames:
    raise ValueError(
      f"given_frames={given_frames} of a path of {num_frames} frames: "
      f"extrapolation needs 1 to {num_frames}."
    )
  path = truth.astype(float)
  last = given_frames - 1
  velocity = path[last] - path[max(last - 1, 0)]
  steps = np.arange(1, num_frames - last)[:, None]
  return np.concatenate([path[:given_frames], path[last] + steps * velocity])
