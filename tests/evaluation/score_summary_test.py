"""Means and intervals over scenes, and the files they are written to."""

import csv
import io
import json

import numpy as np
import pytest

from magvit3d.evaluation.metres import summary
from magvit3d.evaluation.metres.scene_scores import METRICS

_SHAPES = ("cube", "cylinder", "cone")
_NAMES = {"shape": _SHAPES, "motion": ("linear", "circular")}


def _rows(values):
  return [dict.fromkeys(METRICS, float(value)) for value in values]


def _labels(count):
  return {
    "shape": [_SHAPES[i % 2] for i in range(count)],
    "motion": ["circular"] * count,
  }


def _summarise(values, seed=0):
  return summary.summarise(
    {
      ("videos", "videos"): _rows(values),
      ("baseline", "copy_last"): _rows(2 * np.asarray(values)),
      ("floor", "true_frames"): _rows(np.zeros(len(values))),
    },
    _labels(len(values)),
    _NAMES,
    seed,
  )


def test_interval_is_as_wide_as_theory_says():
  values = np.random.default_rng(0).normal(5, 2, 400)
  numbers = _summarise(values)[0].scores["ade"]
  assert numbers["mean"] == pytest.approx(values.mean())
  half = 1.96 * values.std() / np.sqrt(400)
  # Quantiles of 1000 resamples are off by a tenth of the half width.
  assert numbers["low"] == pytest.approx(values.mean() - half, abs=0.2 * half)
  assert numbers["high"] == pytest.approx(values.mean() + half, abs=0.2 * half)


def test_intervals_follow_from_the_seed():
  values = np.random.default_rng(0).normal(size=30)
  assert _summarise(values) == _summarise(values)
  first, other = _summarise(values, 0)[0], _summarise(values, 1)[0]
  assert first.scores["ade"]["low"] != other.scores["ade"]["low"]


def test_scenes_without_a_value_are_left_out_of_its_mean():
  values = np.array([1.0, np.nan, 3.0, np.nan])
  lines = _summarise(values)
  assert lines[0].scores["ade"]["mean"] == 2
  cylinders = next(line for line in lines if line.value == "cylinder")
  assert cylinders.scores["ade"] == {"mean": None, "low": None, "high": None}


def test_one_scene_has_no_interval():
  numbers = _summarise([4.0])[0].scores["ade"]
  assert numbers == {"mean": 4.0, "low": None, "high": None}


def test_one_scene_with_a_value_has_no_interval():
  """As of positions, where the object was found in one scene alone."""
  numbers = _summarise([np.nan, 4.0, np.nan])[0].scores["ade"]
  assert numbers == {"mean": 4.0, "low": None, "high": None}


def test_groups_are_in_the_data_sets_order_and_have_their_own_means():
  lines = _summarise([1.0, 10.0, 3.0, 20.0])
  groups = [(line.group, line.value, line.n) for line in lines[::3]]
  assert groups == [
    ("all", "", 4),
    ("shape", "cube", 2),
    ("shape", "cylinder", 2),
    ("motion", "circular", 4),
  ]
  means = [line.scores["fde"]["mean"] for line in lines[::3]]
  assert means == [8.5, 2, 15, 8.5]


def test_json_has_scores_baselines_and_floors():
  found = summary.to_json(_summarise([1.0, 10.0, 3.0, 20.0]))
  assert found["scores"]["all"]["ade"]["mean"] == 8.5
  assert found["scores"]["shape"]["cube"]["n"] == 2
  assert found["baselines"]["copy_last"]["shape"]["cube"]["ade"]["mean"] == 4
  assert found["floors"]["true_frames"]["motion"]["circular"]["n"] == 4
  json.dumps(found, allow_nan=False)


def test_csv_has_a_row_a_line_and_nothing_where_there_is_nothing():
  lines = _summarise([1.0, np.nan])
  rows = list(csv.DictReader(io.StringIO(summary.to_csv(lines))))
  assert len(rows) == len(lines)
  assert rows[0]["role"] == rows[0]["clips"] == "videos"
  assert float(rows[0]["ade"]) == 1
  cylinder = next(row for row in rows if row["value"] == "cylinder")
  assert cylinder["ade"] == cylinder["mask_iou_low"] == ""


def test_text_has_the_baselines_beside_the_scores():
  text = summary.to_text(_summarise([1.0, 2.0, 3.0, 4.0]))
  blocks = text.split("\n\n")
  assert len(blocks) == 4
  for block in blocks:
    for name in ("ADE m", "videos", "copy_last (base", "true_frames (floor)"):
      assert name in block
  assert "all (n = 4)" in blocks[0] and "shape cube (n = 2)" in blocks[1]
  assert "95% from" in blocks[0]
  row = next(line for line in blocks[0].splitlines() if "videos" in line)
  assert row.split()[1:4] == ["2.5000"] * 3
