"""Scenes as a recording for the Rerun viewer: cameras, videos, paths in 3D.

Needs the extra `rerun`: pip install 'magvit3d[rerun]'. Everything is on one
time line, `frame`; entities are SCENE/camera_N/KIND for videos, which lie in
the image plane of their camera, and SCENE/path/KIND and SCENE/position/KIND.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from data_gen.files.png import encode_pngs
from magvit3d.errors import UserError
from magvit3d.files import atomic_file, temporary_files

SUFFIX = ".rrd"
MOST_SCENES = 32  # Of a recording; one of three cameras and 32 px takes 180 kB.
TRUE, PREDICTED = "true", "predicted"
_COLORS = {TRUE: (40, 110, 220), PREDICTED: (240, 130, 20)}
_OTHER_COLOR = (130, 130, 130)
_RADII = 0.004, 0.02  # Of lines and points, metres.
_PLANE_DISTANCE = 0.3  # Of images from their camera, metres.


@dataclasses.dataclass(frozen=True)
class RecordedScene:
  """What is shown of a scene.

  Attributes:
    name: Of the scene; letters, digits and underscores.
    videos: Of v cameras, by what they are, such as `TRUE`.
    paths: Of the object in the same t frames, metres, likewise.
    intrinsics: Of the cameras, pixels; None where nobody knows.
    camera_from_world: Rotation and translation, metres; None likewise.
  """

  name: str
  videos: Mapping[str, UInt8[np.ndarray, "v t h w 3"]]
  paths: Mapping[str, Float[np.ndarray, "t 3"]] = dataclasses.field(
    default_factory=dict
  )
  intrinsics: Float[np.ndarray, "v 3 3"] | None = None
  camera_from_world: Float[np.ndarray, "v 3 4"] | None = None


def check() -> None:
  """Raises UserError where the package is missing."""
  try:
    import rerun  # noqa: F401
  except ImportError as error:
    raise UserError(
      "--format=rrd needs the package rerun-sdk: pip install 'magvit3d[rerun]'."
    ) from error


def write(path: pathlib.Path, scenes: Sequence[RecordedScene]) -> None:
  """Writes a recording, whole or not at all.

  Args:
    path: To write; it ends in `SUFFIX`.
    scenes: To show, each in a tab of its own.
  """
  import rerun as rr

  temporary_files.remove_left_beside(path)
  recording = rr.RecordingStream("magvit3d")
  # Not to a file: where the disk is full, the package waits for ever, or ends
  # the file early and says nothing.
  memory = recording.memory_recording()
  recording.send_blueprint(_blueprint(scenes))
  for scene in scenes:
    recording.log(scene.name, rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    _log_cameras(recording, scene)
    _log_videos(recording, scene)
    _log_paths(recording, scene)
  content = memory.drain_as_bytes()
  recording.disconnect()
  atomic_file.write_bytes(path, content)


def _log_cameras(recording, scene: RecordedScene) -> None:
  import rerun as rr

  if scene.intrinsics is None or scene.camera_from_world is None:
    return
  height, width = next(iter(scene.videos.values())).shape[2:4]
  cameras = zip(scene.intrinsics, scene.camera_from_world, strict=True)
  for number, (intrinsics, pose) in enumerate(cameras):
    rotation, translation = pose[:, :3].T, pose[:, 3]
    recording.log(
      f"{scene.name}/camera_{number}",
      rr.Transform3D(translation=-rotation @ translation, mat3x3=rotation),
      rr.Pinhole(
        image_from_camera=intrinsics,
        resolution=(width, height),
        camera_xyz=rr.ViewCoordinates.RDF,
        image_plane_distance=_PLANE_DISTANCE,
      ),
      static=True,
    )


def _log_videos(recording, scene: RecordedScene) -> None:
  import rerun as rr

  for kind, videos in scene.videos.items():
    for number, frames in enumerate(videos):
      for time, png in enumerate(encode_pngs(frames)):
        recording.set_time("frame", sequence=time)
        recording.log(
          f"{scene.name}/camera_{number}/{kind}",
          rr.EncodedImage(contents=png, media_type="image/png"),
        )


def _log_paths(recording, scene: RecordedScene) -> None:
  import rerun as rr

  line, point = _RADII
  for kind, positions in scene.paths.items():
    color = _COLORS.get(kind, _OTHER_COLOR)
    recording.log(
      f"{scene.name}/path/{kind}",
      rr.LineStrips3D([positions], radii=line, colors=color),
      static=True,
    )
    for time, position in enumerate(positions):
      recording.set_time("frame", sequence=time)
      recording.log(
        f"{scene.name}/position/{kind}",
        rr.Points3D([position], radii=point, colors=color, labels=kind),
      )


def _blueprint(scenes: Sequence[RecordedScene]):
  """A tab a scene: the space beside a picture of each camera and kind."""
  import rerun.blueprint as rrb

  tabs = []
  for scene in scenes:
    pictures = [
      rrb.Spatial2DView(
        origin=f"{scene.name}/camera_{number}/{kind}",
        name=f"camera {number}, {kind}",
      )
      for kind, videos in scene.videos.items()
      for number in range(len(videos))
    ]
    columns = len(next(iter(scene.videos.values())))
    grid = rrb.Grid(*pictures, grid_columns=columns)
    if scene.intrinsics is None:
      tabs.append(rrb.Horizontal(grid, name=scene.name))
      continue
    space = rrb.Spatial3DView(origin=scene.name, name="space")
    tabs.append(rrb.Horizontal(space, grid, name=scene.name))
  return rrb.Blueprint(rrb.Tabs(*tabs), collapse_panels=True)
