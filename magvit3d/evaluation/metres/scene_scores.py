"""Scores of clips of whole scenes: in metres, in pixels, and their baselines.

What is scored are the clips of all cameras of a scene, from frame
`given_frames` on. The given frames are taken from the truth, whatever the clips
hold there.

A frame in which the object is not found in two views is a failure. In ADE and
FDE it counts as if the object stood where it was found last; if it never was,
where all cameras look. So every frame of every scene counts, and a model gains
nothing by hiding the object where it is unsure: it could as well show it
standing still. `ade_found`, over the other frames alone, can be gained by
hiding: read it with `failure_rate` only.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt8

from magvit3d.evaluation import image_metrics
from magvit3d.evaluation.metres import baselines as scene_baselines
from magvit3d.evaluation.metres import trajectories
from magvit3d.evaluation.metres.object_finding import find_object
from magvit3d.evaluation.metres.scenes import ScoredScene
from magvit3d.evaluation.metres.triangulation import Points

# Metres, pixels, shares in [0, 1], and decibels.
METRICS = (
  "ade",
  "fde",
  "ade_raw",
  "ade_found",
  "residual_px",
  "centroid_px",
  "failure_rate",
  "psnr",
  "foreground_psnr",
  "ssim",
  "mask_iou",
)
CONSTANT_VELOCITY = "constant_velocity"
TRUE_FRAMES = "true_frames"

Scores = dict[str, float]


@dataclasses.dataclass(frozen=True)
class ScoredPath:
  """A path with its scores.

  Attributes:
    scores: METRICS; NaN where there is none.
    positions: Metres, of all frames, the given ones too.
    is_found: Frames in which the object was found in two views.
  """

  scores: Scores
  positions: Float[np.ndarray, "t 3"]
  is_found: Bool[np.ndarray, " t"]


def score_clips(
  clips: UInt8[np.ndarray, "v t h w 3"], scene: ScoredScene, given_frames: int
) -> ScoredPath:
  """Returns the path that one scene's clips show, and its scores.

  `residual_px` and `ade_found` are NaN if every frame is a failure. One view
  tells no position: then all in metres is NaN, and a failure is a frame in
  which it does not show the object.

  Args:
    clips: What is scored.
    scene: The truth.
    given_frames: In [0, t - 1].
  """
  later = slice(given_frames, None)
  # Row by row, so that equal pixels give equal sums, to the last bit.
  clips = np.array(clips, order="C")
  clips[:, :given_frames] = scene.frames[:, :given_frames]
  found = find_object(clips, scene.background)
  true_masks, masks = scene.masks[:, later], found.silhouettes[:, later]
  scores = dict.fromkeys(METRICS, float("nan")) | {
    "centroid_px": _centroid_error(
      found.centroids[:, later], found.is_found[:, later], true_masks
    ),
    **_image_scores(clips[:, later], scene, later),
    "mask_iou": _mean_iou(masks, true_masks),
  }
  if len(clips) < 2:
    scores["failure_rate"] = float(1 - found.is_found[0, later].mean())
    nowhere = np.full(scene.trajectory.shape, np.nan)
    return ScoredPath(scores, nowhere, np.zeros(len(nowhere), bool))
  cameras = (scene.intrinsics, scene.camera_from_world)
  raw = trajectories.locate(found, *cameras)
  points = trajectories.locate(found, *cameras, scene.solid)
  is_found, truth = points.is_found[later], scene.trajectory[later]
  positions = _held(points, scene)
  path = positions[later]
  scores |= {
    "ade": trajectories.average_displacement_error(path, truth),
    "fde": trajectories.final_displacement_error(path, truth),
    "ade_raw": trajectories.average_displacement_error(
      _held(raw, scene)[later], truth
    ),
    "ade_found": trajectories.average_displacement_error(path, truth, is_found),
    "residual_px": _mean(points.residual_px[later][is_found]),
    "failure_rate": float(1 - is_found.mean()),
  }
  return ScoredPath(scores, positions, points.is_found)


def score_path(
  path: Float[np.ndarray, "t 3"],
  clips: UInt8[np.ndarray, "v t h w 3"],
  scene: ScoredScene,
  given_frames: int,
) -> ScoredPath:
  """Returns the scores of a path that is known without looking at pixels.

  Args:
    path: Metres; scored as it is. There are no residual and no failures (NaN).
    clips: The same, rendered: scored in pixels.
    scene: The truth.
    given_frames: In [0, t - 1].
  """
  later = slice(given_frames, None)
  truth = scene.trajectory[later]
  found = find_object(clips[:, later], scene.background)
  scores = dict.fromkeys(METRICS, float("nan")) | {
    "ade": trajectories.average_displacement_error(path[later], truth),
    "fde": trajectories.final_displacement_error(path[later], truth),
    **_image_scores(clips[:, later], scene, later),
    "mask_iou": _mean_iou(found.silhouettes, scene.masks[:, later]),
  }
  return ScoredPath(scores, path, np.ones(len(path), bool))


def score_baselines(
  scene: ScoredScene, given_frames: int
) -> tuple[dict[str, ScoredPath], dict[str, ScoredPath]]:
  """Returns baselines, and floors, of one scene by name.

  Baselines: the background only, the last given frame repeated (or the first
  one, if none is given), and the true past continued with its last velocity, if
  a frame is given. Floor: the true frames.
  """
  baselines = {
    name: score_clips(clips, scene, given_frames)
    for name, clips in scene_baselines.still_clips(scene, given_frames).items()
  }
  if given_frames:
    path = trajectories.constant_velocity(scene.trajectory, given_frames)
    clips = scene_baselines.render_path(scene, path, given_frames)
    baselines[CONSTANT_VELOCITY] = score_path(path, clips, scene, given_frames)
  floors = {TRUE_FRAMES: score_clips(scene.frames, scene, given_frames)}
  return baselines, floors


def _held(points: Points, scene: ScoredScene) -> Float[np.ndarray, "t 3"]:
  fallback = trajectories.centre_of_view(scene.camera_from_world)
  return trajectories.hold(points, fallback)


def _image_scores(clips, scene, later) -> Scores:
  shown = clips.astype(np.float32) / np.float32(255)
  real = scene.frames[:, later].astype(np.float32) / np.float32(255)
  masks = scene.masks[:, later]
  foreground = image_metrics.foreground_psnr(shown, real, masks)
  return {
    "psnr": _mean(image_metrics.psnr(shown, real)),
    "foreground_psnr": _mean(foreground[~np.isnan(foreground)]),
    "ssim": _mean(image_metrics.ssim(shown, real)),
  }


def _centroid_error(centroids, is_found, true_masks) -> float:
  """Mean distance to the true mask's centroid where there are both, pixels."""
  areas = true_masks.sum((2, 3))
  rows, columns = (np.arange(size) for size in true_masks.shape[2:])
  x = (true_masks.sum(2) * columns).sum(-1) / np.maximum(areas, 1)
  y = (true_masks.sum(3) * rows).sum(-1) / np.maximum(areas, 1)
  distances = np.linalg.norm(centroids - np.stack([x, y], axis=-1), axis=-1)
  return _mean(distances[is_found & (areas > 0)])


def _mean_iou(masks, true_masks) -> float:
  """Mean over views and frames; of two empty masks it is 1."""
  both = (masks & true_masks).sum((2, 3))
  either = (masks | true_masks).sum((2, 3))
  return _mean(np.where(either > 0, both / np.maximum(either, 1), 1.0))


def _mean(values: np.ndarray) -> float:
  return float(values.mean()) if values.size else float("nan")
