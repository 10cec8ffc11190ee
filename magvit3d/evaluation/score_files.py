"""Files of clips to files of scores: what `python -m magvit3d.score` does."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import magvit3d
from data_gen.scene_source import SceneSource
from magvit3d import atomic_file, output_file
from magvit3d.errors import UserError
from magvit3d.evaluation import scene_scores, score_summary, scored_scenes
from magvit3d.evaluation.scene_scores import Scores
from magvit3d.evaluation.scene_videos import SceneVideos
from magvit3d.evaluation.score_summary import VIDEOS, Line

RECONSTRUCTIONS = "reconstructions"
_LOG_INTERVAL_S = 10
# Top-level keys of the JSON, beside n and split.
_HEADLINES = ("ade", "ade_raw", "fde", "residual_px", "failure_rate")
_NOTES = {
  "ade": "metres, mean over scenes and scored frames, corrected for the offset "
  "of the silhouette's centroid; ade_raw: not corrected; fde: last frame",
  "failure_rate": "share of scored frames in which the object was not found in "
  "two views",
  "failures_in_ade": "a frame where the object was not found counts as if it "
  "stood where it was found last (before that: where all cameras look), so "
  "that all frames count in ade, ade_raw and fde; ade_found leaves them out",
  "residual_px": "over frames where the object was found",
  "foreground_psnr": "within 2 pixels of the true mask",
  "constant_velocity": "metres from the true past, not from pixels: no "
  "residual and no failures; pixels from the true object, rendered",
}


@dataclasses.dataclass(frozen=True)
class Request:
  """What is scored; the fields are the flags of `python -m magvit3d.score`."""

  data: pathlib.Path
  split: str
  videos: pathlib.Path
  output: pathlib.Path
  given_frames: int = 0
  reconstructions: pathlib.Path | None = None
  seed: int = 0


def score(
  request: Request, log: Callable[[str], None] = lambda line: None
) -> list[Line]:
  """Scores the clips, writes the output and a CSV beside it.

  Args:
    request: What is scored.
    log: Is told now and then how far the work is.

  Raises:
    UserError: Something is wrong with the files; nothing is written.
    DataError: The data set cannot be read.
  """
  check_output(request.output)
  if request.seed < 0:
    raise UserError(f"--seed={request.seed} is negative: give 0 or more.")
  source = SceneSource(request.data, request.split)
  scored_scenes.check_source(source)
  if not 0 <= request.given_frames < source.num_frames:
    raise UserError(
      f"--given_frames={request.given_frames} leaves nothing to score, or is "
      f"negative: the clips have {source.num_frames} frames. Use 0 to "
      f"{source.num_frames - 1}."
    )
  videos = _open(request.videos, "--videos", source)
  indices = scored_scenes.indices_of(
    videos.scene_ids, source, request.split, "--videos"
  )
  reconstructions = None
  if request.reconstructions is not None:
    reconstructions = _open(
      request.reconstructions, "--reconstructions", source
    )
    _check_same_scenes(videos, reconstructions)
  scores: dict[tuple[str, str], list[Scores]] = {}
  labels: dict[str, list[str]] = {"shape": [], "motion": []}
  told_s = time.monotonic()
  for scene, found in _score_scenes(
    source, indices, videos, reconstructions, request.given_frames
  ):
    for key, values in found.items():
      scores.setdefault(key, []).append(values)
    labels["shape"].append(scene.solid.shape)
    labels["motion"].append(scene.motion)
    if time.monotonic() - told_s >= _LOG_INTERVAL_S:
      log(f"{len(labels['shape'])} of {len(indices)} scenes are scored.")
      told_s = time.monotonic()
  names = {"shape": source.shape_names, "motion": source.motion_names}
  lines = score_summary.summarise(scores, labels, names, request.seed)
  write(request, source, lines)
  return lines


def write(request: Request, source: SceneSource, lines: Sequence[Line]) -> None:
  """Writes the JSON and the CSV; the JSON last, whole or not at all.

  Raises:
    UserError: They cannot be written.
  """
  content = _describe(request, source, lines)
  text = json.dumps(content, indent=2, allow_nan=False) + "\n"
  try:
    table = request.output.with_suffix(".csv")
    atomic_file.write_text(table, score_summary.to_csv(lines))
    atomic_file.write_text(request.output, text)
  except OSError as error:
    raise output_file.not_writable(request.output, error) from error


def check_output(output: pathlib.Path) -> None:
  """Raises UserError unless `output` can be written."""
  if output.suffix != ".json":
    raise UserError(
      f"--output={output} must end in .json; a .csv of the same name is "
      "written beside it."
    )
  output_file.check(output, [output.with_suffix(".csv")])


def _open(path: pathlib.Path, flag: str, source: SceneSource) -> SceneVideos:
  videos = SceneVideos(path, flag)
  size = source.image_size
  videos.check_shape((source.num_views, source.num_frames, size, size, 3))
  return videos


def _check_same_scenes(
  videos: SceneVideos, reconstructions: SceneVideos
) -> None:
  if videos.scene_ids != reconstructions.scene_ids:
    raise UserError(
      f"--reconstructions has {len(reconstructions.scene_ids)} scenes and "
      f"--videos {len(videos.scene_ids)}, or others, or in another order. "
      "Give both files the same scene_id."
    )


def _score_scenes(
  source: SceneSource,
  indices: Sequence[int],
  videos: SceneVideos,
  reconstructions: SceneVideos | None,
  given_frames: int,
) -> Iterator[tuple[scored_scenes.ScoredScene, dict[tuple[str, str], Scores]]]:
  """Yields each scene with the scores of all clips, by role and name."""
  others = iter(reconstructions) if reconstructions else None
  for index, clips in zip(indices, videos, strict=True):
    scene = scored_scenes.load_scene(source, index)
    baselines, floors = scene_scores.score_baselines(scene, given_frames)
    if others:
      floors[RECONSTRUCTIONS] = scene_scores.score_clips(
        next(others), scene, given_frames
      )
    found = {
      (VIDEOS, VIDEOS): scene_scores.score_clips(clips, scene, given_frames)
    }
    found |= {("baseline", name): s for name, s in baselines.items()}
    found |= {("floor", name): s for name, s in floors.items()}
    yield scene, found


def _describe(
  request: Request, source: SceneSource, lines: Sequence[Line]
) -> dict[str, Any]:
  whole = lines[0]
  return {
    "n": whole.n,
    "split": request.split,
    **{name: whole.scores[name]["mean"] for name in _HEADLINES},
    **score_summary.to_json(lines),
    "given_frames": request.given_frames,
    "scored_frames": source.num_frames - request.given_frames,
    "num_views": source.num_views,
    "image_size": source.image_size,
    "data": str(request.data),
    "videos": str(request.videos),
    "reconstructions": request.reconstructions and str(request.reconstructions),
    "notes": _NOTES,
    "bootstrap": {
      "confidence": score_summary.CONFIDENCE,
      "resamples": score_summary.NUM_RESAMPLES,
      "over": "scenes",
      "seed": request.seed,
    },
    "code_version": magvit3d.__version__,
    "numpy_version": np.__version__,
  }
