"""Calibrations that are allowed but hardly meant: notes that name the cause.

Other programs give cameras in other frames and units;
`data_gen.footage.conversions` and docs/footage.md turn those into ours.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from data_gen.footage import conversions

# Undistorted images of common lenses are from 3 to 130 degrees wide.
_LEAST_DEGREES, _MOST_DEGREES = 2.0, 140.0
_FAR_M = 50.0  # Between cameras, or of a track, from end to end.
_MOST_OFF_CENTRE = 0.2  # Part of the image's size.
_UPSIDE_DOWN = 0.5  # Of the camera's y axis, how much of it is up.
_LEAST_ANGLE = 0.1  # Radians between axes of cameras that look at one thing.
_MOST_SEEN = 0.5  # Share of a track that a right camera hardly sees less of.
_GAIN = 0.3  # By which another reading of a pose must see more to be named.


@dataclasses.dataclass(frozen=True)
class View:
  """A camera as it was calibrated.

  Attributes:
    name: For messages.
    intrinsics: (3, 3), pixels of the video.
    camera_from_world: (3, 4).
    width, height: Of the video, pixels.
  """

  name: str
  intrinsics: np.ndarray
  camera_from_world: np.ndarray
  width: int
  height: int

  def sees(self, points: np.ndarray) -> np.ndarray:
    """Whether points (n, 3) of the world are in the image, bool (n,)."""
    pose = self.camera_from_world
    in_camera = points @ pose[:, :3].T + pose[:, 3]
    x, y, z = (in_camera @ self.intrinsics.T).T
    depth = np.maximum(z, 1e-9)
    is_inside = np.abs(2 * x / depth + 1 - self.width) <= self.width
    is_inside &= np.abs(2 * y / depth + 1 - self.height) <= self.height
    return is_inside & (z > 0)


def notes(views: Sequence[View], track: np.ndarray) -> Iterator[str]:
  """Yields what is odd about the cameras of a recording.

  Args:
    views: Its cameras.
    track: (n, 3), metres; rows are NaN where it is unknown.
  """
  points = track[~np.isnan(track).any(axis=1)]
  for view in views:
    yield from _field_of_view(view)
    yield from _principal_point(view)
  is_far = yield from _units(views, points)
  if is_far:
    return  # The rest follows from it.
  for view in views if len(points) else []:
    yield from _track(view, points)
  if not len(points):
    yield from _axes(views)


def _field_of_view(view: View) -> Iterator[str]:
  focal = view.intrinsics[0, 0]
  degrees = np.degrees(2 * np.arctan(view.width / (2 * focal)))
  if _LEAST_DEGREES <= degrees <= _MOST_DEGREES:
    return
  if degrees > _MOST_DEGREES and focal < 10:
    cause = (
      "Is it a part of the image's width? Multiply it by that: "
      "data_gen.footage.conversions.intrinsics_of_parts does."
    )
  elif degrees > _MOST_DEGREES:
    cause = (
      "Is it in millimetres, or of a smaller image? "
      "data_gen.footage.conversions.intrinsics_of_millimetres and "
      ".intrinsics_of_size make pixels of it."
    )
  else:
    cause = (
      "Is it of a larger image? "
      "data_gen.footage.conversions.intrinsics_of_size makes pixels of this "
      "one."
    )
  yield (
    f"Note: {view.name}.intrinsics has fx = {focal:g} pixels for a width of "
    f"{view.width}, a field of view of {degrees:.3g} degrees. {cause}"
  )


def _principal_point(view: View) -> Iterator[str]:
  centre = view.intrinsics[:2, 2]
  size = np.array([view.width, view.height])
  offset = np.abs((centre + 0.5) / size - 0.5)
  if (offset > _MOST_OFF_CENTRE).any():
    yield (
      f"Note: {view.name}.intrinsics has its principal point (cx, cy) at "
      f"({centre[0]:g}, {centre[1]:g}), far from the middle of {size[0]} x "
      f"{size[1]} pixels. Is it of an image of another size? "
      "data_gen.footage.conversions.intrinsics_of_size makes pixels of this "
      "one."
    )


def _units(views: Sequence[View], points: np.ndarray) -> Iterator[str]:
  """Yields a note if lengths seem to be no metres; returns whether they do."""
  centres = np.stack([_centre(view.camera_from_world) for view in views])
  kinds = [
    (centres, "cameras"),
    (points, "track"),
    (np.vstack([centres, points]), "cameras and track"),
  ]
  if len(views) == 1 and not len(points):
    from_origin = np.vstack([centres, np.zeros((1, 3))])
    kinds = [(from_origin, "camera and the world's origin")]
  for things, what in kinds:
    apart = _extent(things)
    if apart > _FAR_M:
      yield (
        f"Note: {_recording(views)} has its {what} spread over {apart:.4g} m. "
        "Are they in millimetres? Divide positions, and the last column of "
        "camera_from_world, by 1000: "
        "data_gen.footage.conversions.pose_of_millimetres does."
      )
      return True
  return False


def _readings(pose: np.ndarray) -> dict[str, np.ndarray]:
  """Returns what a pose may be instead, as ours."""
  return {
    "has the axes of OpenGL (y up, z backward): "
    "data_gen.footage.conversions.pose_of_opengl": conversions.pose_of_opengl(
      pose
    ),
    "is the pose of the camera in the world, the inverse: "
    "data_gen.footage.conversions.inverse": conversions.inverse(pose),
    "is the pose of the camera in the world with the axes of Blender, OpenGL "
    "or NeRF (y up, z backward): "
    "data_gen.footage.conversions.pose_of_blender": (
      conversions.pose_of_blender(pose)
    ),
    "is in millimetres: data_gen.footage.conversions.pose_of_millimetres": (
      conversions.pose_of_millimetres(pose)
    ),
  }


def _track(view: View, points: np.ndarray) -> Iterator[str]:
  share = float(view.sees(points).mean())
  if share >= _MOST_SEEN:
    return
  text = f"Note: {view.name} sees only {share:.0%} of its recording's track. "
  shares = {
    cause: float(
      dataclasses.replace(view, camera_from_world=pose).sees(points).mean()
    )
    for cause, pose in _readings(view.camera_from_world).items()
  }
  cause, most = max(shares.items(), key=lambda item: item[1])
  if most >= share + _GAIN:
    yield (
      f"{text}It would see {most:.0%} if its camera_from_world {cause} makes "
      "it ours."
    )
  else:
    yield (
      f"{text}Are the track and camera_from_world in the same frame and in "
      "metres, and is the latter not the pose of the camera in the world, its "
      "inverse?"
    )


def _axes(views: Sequence[View]) -> Iterator[str]:
  """Yields a note if cameras are upside down, or look at different things."""
  is_seen = _share_a_view(views)
  is_upright = not all(map(_is_upside_down, views))
  if is_upright and is_seen is not False:
    return
  readings = [_readings(view.camera_from_world) for view in views]
  for cause in readings[0]:
    others = [
      dataclasses.replace(view, camera_from_world=reading[cause])
      for view, reading in zip(views, readings, strict=True)
    ]
    if any(map(_is_upside_down, others)) or _share_a_view(others) is False:
      continue
    found = (
      "do not see the point at which their axes meet"
      if is_upright
      else "are upside down, if the world's z is up"
    )
    yield (
      f"Note: the cameras of {_recording(views)} {found}. Perhaps "
      f"camera_from_world {cause} makes it ours."
    )
    return


def _is_upside_down(view: View) -> bool:
  return view.camera_from_world[1, 2] > _UPSIDE_DOWN


def _share_a_view(views: Sequence[View]) -> bool | None:
  """Whether all cameras see where their axes meet; None: they do not meet."""
  point = _looked_at(np.stack([view.camera_from_world for view in views]))
  if point is None:
    return None
  return all(view.sees(point[None])[0] for view in views)


def _recording(views: Sequence[View]) -> str:
  return views[0].name.rpartition(".")[0]


def _looked_at(poses: np.ndarray) -> np.ndarray | None:
  """Returns the point nearest to the axes of all cameras, (3,).

  None if they are nearly parallel, so that it may be anywhere.
  """
  axes = poses[:, 2, :3]
  angles = np.arccos(np.clip(np.abs(axes @ axes.T), 0, 1))
  if angles.max() < _LEAST_ANGLE:
    return None
  across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
  centres = np.stack([_centre(pose) for pose in poses])
  total = np.einsum("vij,vj->i", across, centres)
  return np.linalg.solve(across.sum(axis=0), total)


def _centre(pose: np.ndarray) -> np.ndarray:
  return -pose[:, :3].T @ pose[:, 3]


def _extent(points: np.ndarray) -> float:
  return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0
