"""Tables in metres say what was measured; galleries show the right clips."""

import numpy as np
import pytest

from magvit3d.evaluation.metres import path_tables, summary
from magvit3d.evaluation.metres.scene_scores import METRICS
from magvit3d.evaluation.results import Results


def _scores(ade):
  return dict.fromkeys(METRICS, 1.0) | {"ade": ade, "residual_px": float("nan")}


def test_tables_have_means_intervals_and_baselines():
  lines = summary.summarise(
    {
      ("videos", "predicted"): [_scores(x) for x in (0.1, 0.2, 0.3)],
      ("baseline", "copy_last"): [_scores(0.5)] * 3,
      ("floor", "true_frames"): [_scores(0.0)] * 3,
    },
    {"shape": ["cube", "cone", "cone"], "motion": ["linear"] * 3},
    {"shape": ("cube", "cone"), "motion": ("linear",)},
    seed=0,
  )
  results = Results("test", has_objects=True)
  path_tables.add_tables(results, "Paths", "Given: nothing.", lines)
  whole, by_group = results.tables
  assert (whole["n"], whole["split"]) == (3, "test")
  assert whole["baselines"] == ["copy last"]
  rows = {row[0]: row[1:] for row in whole["rows"]}
  assert list(rows) == ["predicted", "copy last", "floor: true frames"]
  ade = dict(zip(whole["columns"][1:], rows["predicted"], strict=True))
  assert ade["ADE, m"].startswith("0.2000 [0.1")
  assert ade["residual, px"] is None
  assert by_group["columns"] == [
    "",
    "cube (n = 1)",
    "cone (n = 2)",
    "linear (n = 3)",
  ]
  assert by_group["rows"][0] == pytest.approx(["predicted", 0.1, 0.25, 0.2])


def test_gallery_has_best_median_and_worst_of_each_class():
  ade = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2])
  labels = np.array([0, 0, 0, 0, 1, 2])
  found = path_tables.pick_gallery(ade, labels, ("a", "b", "c", "none"))
  by_class = {}
  for scene, name, rank in found:
    by_class.setdefault(name, {})[rank] = scene
  assert by_class == {
    "a": {"best": 1, "median": 3, "worst": 2},
    "b": {"best": 4},
    "c": {"best": 5},
  }
  two = path_tables.pick_gallery(ade[:2], labels[:2], ("a",))
  assert two == [(1, "a", "best"), (0, "a", "worst")]
