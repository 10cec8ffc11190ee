"""Files of clips to files of scores: what `python -m magvit3d.score` does."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import magvit3d
from data_gen.records.scene_source import SceneSource
from magvit3d.errors import UserError
from magvit3d.evaluation.metres import scenes, summary
from magvit3d.evaluation.metres.scenes import ScoredScene
from magvit3d.evaluation.metres.summary import VIDEOS, Line
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.evaluation.metres.videos import SceneVideos
from magvit3d.files import atomic_file, output_file
from magvit3d.media import recordings
from magvit3d.media.recordings import RecordedScene

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
  "centroid_px": "between the centroids of what is found and of the true mask, "
  "in the image",
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
  is_recorded: bool = False  # --format=rrd.


def score(
  request: Request, log: Callable[[str], None] = lambda line: None
) -> list[Line]:
  """Scores the clips, writes the output and a CSV beside it.

  A recording lies there too if that is asked for, of the first scenes.

  Args:
    request: What is scored.
    log: Is told now and then how far the work is.

  Raises:
    UserError: Something is wrong with the files; nothing is written.
    DataError: The data set cannot be read.
  """
  check_output(request.output)
  if request.is_recorded:
    recordings.check()
  if request.seed < 0:
    raise UserError(f"--seed={request.seed} is negative: give 0 or more.")
  source = SceneSource(request.data, request.split)
  scenes.check_source(source)
  if not 0 <= request.given_frames < source.num_frames:
    raise UserError(
      f"--given_frames={request.given_frames} leaves nothing to score, or is "
      f"negative: the clips have {source.num_frames} frames. Use 0 to "
      f"{source.num_frames - 1}."
    )
  videos = _open(request.videos, "--videos", source)
  indices = scenes.indices_of(
    videos.scene_ids, source, request.split, "--videos"
  )
  reconstructions = None
  if request.reconstructions is not None:
    reconstructions = _open(
      request.reconstructions, "--reconstructions", source
    )
    _check_same_scenes(videos, reconstructions)
  tally = SceneTally(
    request.given_frames, source.shape_names, source.motion_names
  )
  others = iter(reconstructions) if reconstructions else None
  told_s = time.monotonic()
  shown: list[tuple[ScoredScene, np.ndarray]] = []
  for index, clips in zip(indices, videos, strict=True):
    scene = scenes.load_scene(source, index)
    floors = {RECONSTRUCTIONS: next(others)} if others else {}
    tally.add(scene, {VIDEOS: clips}, floors)
    if request.is_recorded and len(shown) < recordings.MOST_SCENES:
      shown.append((scene, clips))
    if time.monotonic() - told_s >= _LOG_INTERVAL_S:
      log(f"{len(tally)} of {len(indices)} scenes are scored.")
      told_s = time.monotonic()
  lines = tally.lines(request.seed)
  content = {
    "split": request.split,
    "num_views": source.num_views,
    "image_size": source.image_size,
    "scored_frames": source.num_frames - request.given_frames,
    "given_frames": request.given_frames,
    "data": str(request.data),
    "videos": str(request.videos),
    "reconstructions": request.reconstructions and str(request.reconstructions),
  }
  try:
    write(request.output, lines, request.seed, content)
    if request.is_recorded:
      path = request.output.with_suffix(recordings.SUFFIX)
      recordings.write(path, _recorded(shown, videos.scene_ids, tally))
  except OSError as error:
    raise output_file.not_writable(request.output, error) from error
  return lines


def _recorded(
  shown: Sequence[tuple[ScoredScene, np.ndarray]],
  scene_ids: Sequence[int],
  tally: SceneTally,
) -> list[RecordedScene]:
  paths = tally.paths()
  (place,) = np.flatnonzero(paths["names"] == VIDEOS)
  return [
    RecordedScene(
      f"scene_{scene_id}",
      {recordings.TRUE: scene.frames, recordings.PREDICTED: clips},
      {recordings.TRUE: truth, recordings.PREDICTED: found},
      scene.intrinsics,
      scene.camera_from_world,
    )
    for scene_id, (scene, clips), truth, found in zip(
      scene_ids, shown, paths["truth"], paths["positions"][place], strict=False
    )
  ]


def write(
  output: pathlib.Path,
  lines: Sequence[Line],
  seed: int,
  facts: Mapping[str, Any],
) -> None:
  """Writes the JSON and the CSV; the JSON last, whole or not at all.

  Args:
    output: The JSON; the CSV lies beside it.
    lines: The scores.
    seed: Of their intervals.
    facts: What else the JSON says at its top, with `split`.

  Raises:
    OSError: They cannot be written.
  """
  whole = lines[0]
  content = {
    "n": whole.n,
    "split": facts["split"],
    **{name: whole.scores[name]["mean"] for name in _HEADLINES},
    **summary.to_json(lines),
    **facts,
    "notes": _NOTES,
    "bootstrap": {
      "confidence": summary.CONFIDENCE,
      "resamples": summary.NUM_RESAMPLES,
      "over": "scenes",
      "seed": seed,
    },
    "code_version": magvit3d.__version__,
    "numpy_version": np.__version__,
  }
  text = json.dumps(content, indent=2, allow_nan=False) + "\n"
  atomic_file.write_text(output.with_suffix(".csv"), summary.to_csv(lines))
  atomic_file.write_text(output, text)


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
