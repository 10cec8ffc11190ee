"""Means over scenes with confidence intervals, as JSON, CSV and text.

Intervals are percentile bootstraps over scenes: the scenes of a group are drawn
anew with replacement. Frames of one scene are not independent, scenes are.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magvit3d.evaluation.metres.scene_scores import METRICS, Scores

CONFIDENCE = 0.95
NUM_RESAMPLES = 1000
_BLOCK = 100  # Resamples at a time: bounds the memory.
VIDEOS = "videos"
# What tables call them, and the digits behind the point.
HEADINGS = {
  "ade": ("ADE m", 4),
  "fde": ("FDE m", 4),
  "ade_raw": ("raw ADE m", 4),
  "ade_found": ("found ADE m", 4),
  "residual_px": ("residual px", 3),
  "centroid_px": ("centroid px", 3),
  "failure_rate": ("failures", 4),
  "psnr": ("PSNR dB", 2),
  "foreground_psnr": ("fg PSNR dB", 2),
  "ssim": ("SSIM", 4),
  "mask_iou": ("mask IoU", 4),
}


@dataclasses.dataclass(frozen=True)
class Line:
  """Scores of one kind of clips in one group of scenes.

  Attributes:
    role: "videos", "baseline" or "floor".
    clips: Name of the clips.
    group: "all", "shape" or "motion".
    value: Which shape or motion; empty for all.
    n: Scenes of the group.
    scores: Of METRICS: mean, low and high; each None where there is none.
  """

  role: str
  clips: str
  group: str
  value: str
  n: int
  scores: Mapping[str, Mapping[str, float | None]]


def summarise(
  scores: Mapping[tuple[str, str], Sequence[Scores]],
  labels: Mapping[str, Sequence[str]],
  names: Mapping[str, Sequence[str]],
  seed: int,
) -> list[Line]:
  """Returns a line for each kind of clips in each group of scenes.

  Args:
    scores: Of each scene, by role and name of the clips.
    labels: Of each scene: its "shape" and its "motion".
    names: All shapes and all motions, in the order of the lines; those without
      a scene are left out.
    seed: Of the resampling, the same for all clips of a group.
  """
  num_scenes = len(next(iter(scores.values())))
  groups = [("all", "", np.arange(num_scenes))]
  for group, of_scenes in labels.items():
    groups += [
      (group, name, np.flatnonzero(np.array(of_scenes) == name))
      for name in names[group]
      if name in of_scenes
    ]
  lines = []
  for group, value, chosen in groups:
    for (role, clips), rows in scores.items():
      table = np.array([[rows[i][name] for name in METRICS] for i in chosen])
      summary = dict(zip(METRICS, _intervals(table, seed), strict=True))
      lines.append(Line(role, clips, group, value, len(chosen), summary))
  return lines


def to_json(lines: Sequence[Line]) -> dict[str, Any]:
  """Returns the lines as "scores", "baselines" and "floors"."""
  found: dict[str, Any] = {"scores": {}, "baselines": {}, "floors": {}}
  for line in lines:
    if line.role == VIDEOS:
      place = found["scores"]
    else:
      place = found[f"{line.role}s"].setdefault(line.clips, {})
    content = {"n": line.n, **line.scores}
    if line.value:
      place.setdefault(line.group, {})[line.value] = content
    else:
      place[line.group] = content
  return found


def to_csv(lines: Sequence[Line]) -> str:
  """Returns a row a line: means, and the ends of the intervals."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  parts = (("", "mean"), ("_low", "low"), ("_high", "high"))
  columns = [f"{name}{end}" for name in METRICS for end, _ in parts]
  writer.writerow(["role", "clips", "group", "value", "n", *columns])
  for line in lines:
    numbers = [line.scores[name][part] for name in METRICS for _, part in parts]
    place = [line.role, line.clips, line.group, line.value, line.n]
    writer.writerow([*place, *numbers])
  return text.getvalue()


def to_text(lines: Sequence[Line]) -> str:
  """Returns a table for each group, as for a terminal."""
  width = max(len(line.clips) for line in lines) + len(" (baseline)")
  tables = {}
  for line in lines:
    key = (line.group, line.value, line.n)
    rows = tables.setdefault(key, [])
    role = "" if line.role == VIDEOS else f" ({line.role})"
    rows.append(_row(f"{line.clips}{role}", line.scores, "mean", width))
    if line.role == VIDEOS:
      for part, name in (("low", "from"), ("high", "to")):
        title = f"  {CONFIDENCE:.0%} {name}"
        rows.append(_row(title, line.scores, part, width))
  header = " " * width + "".join(
    f"{heading:>13}" for heading, _ in HEADINGS.values()
  )
  blocks = []
  for (group, value, n), rows in tables.items():
    title = f"{group} {value}".strip()
    blocks.append("\n".join([f"{title} (n = {n})", header, *rows]))
  return "\n\n".join(blocks)


def _row(title, scores, part, width) -> str:
  cells = []
  for name, (_, digits) in HEADINGS.items():
    number = scores[name][part]
    cells.append("-" if number is None else f"{number:.{digits}f}")
  return f"{title:<{width}}" + "".join(f"{cell:>13}" for cell in cells)


def _intervals(table: np.ndarray, seed: int) -> list[dict[str, float | None]]:
  """Mean and interval of each column of (n, m), without its NaN."""
  rng = np.random.default_rng(seed)
  count = len(table)
  means = []
  for _ in range(NUM_RESAMPLES // _BLOCK):
    rows = rng.integers(count, size=(_BLOCK, count))
    means.append(_mean(table[rows], axis=1))
  tail = (1 - CONFIDENCE) / 2
  low, high = _quantiles(np.concatenate(means), (tail, 1 - tail))
  # One scene says nothing of the spread.
  is_spread = (~np.isnan(table)).sum(0) > 1
  low, high = (np.where(is_spread, end, np.nan) for end in (low, high))
  columns = zip(_mean(table, axis=0), low, high, strict=True)
  return [
    {
      name: None if np.isnan(number) else float(number)
      for name, number in zip(("mean", "low", "high"), column, strict=True)
    }
    for column in columns
  ]


def _mean(table, axis) -> np.ndarray:
  """As np.nanmean, which warns where all are NaN."""
  is_there = ~np.isnan(table)
  total = np.where(is_there, table, 0).sum(axis)
  count = is_there.sum(axis)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _quantiles(table, shares) -> np.ndarray:
  """As np.nanquantile over rows, which warns where all are NaN."""
  columns = [column[~np.isnan(column)] for column in table.T]
  found = [
    np.quantile(column, shares) if column.size else np.full(len(shares), np.nan)
    for column in columns
  ]
  return np.array(found).T
