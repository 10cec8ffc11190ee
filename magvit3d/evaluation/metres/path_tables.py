"""Scores in metres as tables of the report, and clips by how well they do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from magvit3d.evaluation.metres.summary import VIDEOS, Line
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Cell, Column, Role, Row

_COLUMNS = {
  "ade": Column("ADE", "m", "lower"),
  "fde": Column("FDE", "m", "lower"),
  "ade_raw": Column("raw ADE", "m", "lower"),
  "residual_px": Column("residual", "px", "lower"),
  "centroid_px": Column("centroid", "px", "lower"),
  "failure_rate": Column("failures", "", "lower"),
  "psnr": Column("PSNR", "dB", "higher"),
  "foreground_psnr": Column("foreground PSNR", "dB", "higher"),
  "ssim": Column("SSIM", "", "higher"),
  "mask_iou": Column("mask IoU", "", "higher"),
}
_ROLES: Mapping[str, Role] = {
  VIDEOS: "model",
  "baseline": "baseline",
  "floor": "floor",
}
_NOTE = (
  "Distance between the true path and the one triangulated from pixels, mean "
  "over frames (ADE) and in the last one (FDE); [95% interval, bootstrap over "
  "scenes]. Raw: without the correction of the silhouette's centroid. "
  "Residual: whether the views agree with each other; centroid: distance from "
  "the true one in the images where it is found. A frame without the object in "
  "two views (in the only one, if one is asked) is a failure, and counts in "
  "metres as if the object stood where it was found last."
)


def add_tables(
  results: Results, title: str, given: str, lines: Sequence[Line]
) -> None:
  """Adds a table of all scores, and one of ADE by shape and motion.

  Args:
    results: Where they go.
    title: Of both.
    given: A sentence: what the model was given.
    lines: See `metres.summary`.
  """
  whole = [line for line in lines if line.group == "all"]
  results.add_table(
    title,
    f"{given} {_NOTE}",
    tuple(_COLUMNS.values()),
    [
      _row(line, [_cell(line.scores[key]) for key in _COLUMNS])
      for line in whole
    ],
    n=whole[0].n,
  )
  parts = [line for line in lines if line.group != "all"]
  columns = list(dict.fromkeys((line.value, line.n) for line in parts))
  ade = {
    (line.role, line.clips, line.value): line.scores["ade"]["mean"]
    for line in parts
  }
  results.add_table(
    f"{title}: ADE in metres by shape and motion",
    "The number of scenes is in the head of each column.",
    [Column(f"{value} (n = {n})", "", "lower") for value, n in columns],
    [
      _row(line, [ade[line.role, line.clips, value] for value, _ in columns])
      for line in whole
    ],
    n=whole[0].n,
    unit="m",
  )


def mean_ade(
  lines: Sequence[Line], clips: str, motion: str = ""
) -> float | None:
  """Returns the mean ADE of some clips, metres; None where there is none.

  Args:
    lines: See `metres.summary`.
    clips: Name of the clips.
    motion: Of the scenes; "" for all scenes.
  """
  group = ("motion", motion) if motion else ("all", "")
  found = [
    line.scores["ade"]["mean"]
    for line in lines
    if line.clips == clips and (line.group, line.value) == group
  ]
  return found[0] if found else None


def _row(line: Line, values: Iterable[float | Cell | None]) -> Row:
  name = line.clips.replace("_", " ")
  if line.role == "floor":
    name = f"floor: {name}"
  return Row.of(name, _ROLES[line.role], values)


def _cell(score: Mapping[str, float | None]) -> Cell:
  """Mean and interval."""
  return Cell(score["mean"], score["low"], score["high"])


def pick_gallery(
  ade: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> list[tuple[int, str, str]]:
  """Returns of each class the best, median and worst scene.

  Args:
    ade: (n,), metres, finite.
    labels: int (n,).
    class_names: By label.

  Returns:
    Number of the scene, name of the class, and which it is: "best", "median"
    or "worst". A class of one or two scenes has as many.
  """
  chosen = []
  for label, name in enumerate(class_names):
    ranked = np.flatnonzero(labels == label)
    ranked = ranked[np.argsort(ade[ranked], kind="stable")]
    if not ranked.size:
      continue
    places = {
      "best": ranked[0],
      "median": ranked[(len(ranked) - 1) // 2],
      "worst": ranked[-1],
    }
    seen: set[int] = set()
    for rank in ("best", "worst", "median"):
      if int(places[rank]) in seen:
        del places[rank]
      else:
        seen.add(int(places[rank]))
    chosen += [(int(scene), name, rank) for rank, scene in places.items()]
  return chosen


def gallery(
  chosen: Sequence[tuple[int, str, str]],
  clips: Mapping[str, np.ndarray],
  paths: Mapping[str, Any],
) -> dict[str, np.ndarray]:
  """Returns the arrays that the report shows.

  Args:
    chosen: See `pick_gallery`.
    clips: By name, uint8 (n, t, h, w, 3).
    paths: See `SceneTally.paths`, with `scene_id`.
  """
  scenes = [scene for scene, _, _ in chosen]
  return {
    **{f"gallery/{name}": shown[scenes] for name, shown in clips.items()},
    "gallery/class_names": np.array([name for _, name, _ in chosen]),
    "gallery/rank": np.array([rank for _, _, rank in chosen]),
    "gallery/ade": paths["ade"][0][scenes],
    "gallery/scene_id": paths["scene_id"][scenes],
    "gallery/given_frames": paths["given_frames"],
  }
