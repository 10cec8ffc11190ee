"""The clips of a run, scored in metres."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, UInt8

from data_gen import schema
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.metres import path_tables
from magvit3d.evaluation.metres.tally import SceneTally
from magvit3d.evaluation.results import Results
from magvit3d.monitoring import stage_progress

_Clips = UInt8[np.ndarray, "n v t h w 3"]


def score_paths(
  held_out: HeldOutScenes,
  given_frames: int,
  videos: Mapping[str, _Clips],
  *,
  floors: Mapping[str, _Clips] | None = None,
  baselines: Mapping[str, _Clips] | None = None,
  is_asked: Bool[np.ndarray, "n v"] | None = None,
) -> SceneTally:
  """Returns scores and paths of all scenes.

  Args:
    held_out: Scenes that can be scored, n with v views.
    given_frames: First frames that the model was given.
    videos: Clips of models by name.
    floors: Further clips beside the true frames.
    baselines: Further ones beside the trivial ones.
    is_asked: Views from which the object is triangulated; all by default. One
      alone tells no position.
  """
  source = held_out.source
  tally = SceneTally(
    given_frames,
    source.shape_names,
    source.motion_names,
    knows_first_frame=is_asked is None,
  )
  for number, scene in enumerate(held_out.scored()):
    stage_progress.note(number, len(held_out.indices))
    views = np.arange(len(held_out.views))
    if is_asked is not None:
      views = np.flatnonzero(is_asked[number])

    def of_scene(clips, number=number, views=views):
      return {name: made[number, views] for name, made in (clips or {}).items()}

    tally.add(
      scene.of_views(views),
      of_scene(videos),
      of_scene(floors),
      of_scene(baselines),
    )
  return tally


def keep_paths(
  results: Results,
  held_out: HeldOutScenes,
  tally: SceneTally,
  real: UInt8[np.ndarray, "n t h w 3"],
  predicted: UInt8[np.ndarray, "n t h w 3"],
) -> None:
  """Adds paths to draw, and the gallery of clips by their ADE.

  Args:
    results: Where they go.
    held_out: The scenes.
    tally: Of these; its first clips are the model's.
    real: The truth, views side by side.
    predicted: The model's.
  """
  samples = held_out.samples
  first = schema.scene_id(held_out.split, 0)
  names = np.array(held_out.class_names)
  paths = tally.paths() | {
    "scene_id": first + np.array(held_out.indices),
    "captions": names[samples["labels"]],
    "intrinsics": samples["intrinsics"],
    "camera_from_world": samples["camera_from_world"],
    "image_size": np.array(real.shape[2]),
  }
  chosen = path_tables.pick_gallery(
    paths["ade"][0], samples["labels"], held_out.class_names
  )
  clips = {"real": real, "predicted": predicted}
  results.paths |= paths
  results.shown |= path_tables.gallery(chosen, clips, paths)
