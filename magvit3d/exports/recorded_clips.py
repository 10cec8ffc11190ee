"""Clips that a task made, as scenes of a recording."""

import pathlib

import numpy as np

from data_gen.records.scene_source import SceneSource
from magvit3d.data.clips import window_of
from magvit3d.evaluation.metres import scenes
from magvit3d.evaluation.metres.scene_scores import score_clips
from magvit3d.exports import real_clips
from magvit3d.exports.clip_files import Generated
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.media.recordings import (
  MOST_SCENES,
  PREDICTED,
  TRUE,
  RecordedScene,
)


def recorded_scenes(
  made: Generated,
  trained: TrainedNetworks,
  data: pathlib.Path | None,
  split: str,
) -> list[RecordedScene]:
  """Returns the first `MOST_SCENES` scenes, with all that is known of them.

  Args:
    made: Clips.
    trained: The networks that made them.
    data: Data set of the real ones, whose true paths are shown where they can
      be scored; predicted ones where two cameras or more saw the scene.
    split: Of the data set.
  """
  source, window = None, slice(None)
  if made.real is not None and data is not None:
    clips = real_clips.open_clips(data, split, trained)
    if not scenes.reason_against(clips.scenes):
      source, window = clips.scenes, window_of(clips).middle
  v = made.num_views
  starts = range(0, len(made.clips), v)[:MOST_SCENES]
  return [
    _scene(made, slice(start, start + v), source, window) for start in starts
  ]


def _scene(
  made: Generated, rows: slice, source: SceneSource | None, window: slice
) -> RecordedScene:
  videos = {PREDICTED: made.clips[rows]}
  if made.real is not None:
    videos = {TRUE: made.real[rows], **videos}
  number, intrinsics, poses, paths = (
    rows.start // made.num_views,
    None,
    None,
    {},
  )
  if made.cameras is not None:
    number = int(made.cameras.scenes[rows.start])
    intrinsics = made.cameras.intrinsics[rows]
    poses = made.cameras.camera_from_world[rows]
    if source is not None:
      views = made.cameras.cameras[rows].tolist()
      scene = scenes.load_scene(source, number, views, window)
      paths[TRUE] = scene.trajectory
      if len(views) > 1:
        found = score_clips(made.clips[rows], scene, 0)
        paths[PREDICTED] = found.positions
  # A clip of one camera may be one of several of its scene.
  name = f"scene_{number}"
  if made.cameras is not None and made.num_views == 1:
    name += f"_camera_{int(made.cameras.cameras[rows.start])}"
  return RecordedScene(
    name,
    videos,
    {kind: np.asarray(path, np.float32) for kind, path in paths.items()},
    intrinsics,
    poses,
  )
