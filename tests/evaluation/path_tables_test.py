"""Tables in metres say what was measured; galleries show the right clips."""

import numpy as np
import pytest
import table_values

from magvit3d.evaluation.metres import path_tables, summary
from magvit3d.evaluation.metres.scene_scores import METRICS
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Cell


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
  assert (whole.n, whole.split) == (3, "test")
  assert table_values.baselines(whole) == ["copy last"]
  assert list(table_values.rows(whole)) == [
    "predicted",
    "copy last",
    "floor: true frames",
  ]
  columns = table_values.headings(whole)
  predicted = dict(zip(columns, whole.rows[0].cells, strict=True))
  ade = predicted["ADE, m"]
  assert ade.value == pytest.approx(0.2) and 0.1 <= ade.low < 0.2 < ade.high
  assert predicted["residual, px"] == Cell(None)
  directions = {column.heading: column.direction for column in whole.columns}
  assert directions["ADE, m"] == directions["failures"] == "lower"
  assert directions["PSNR, dB"] == directions["mask IoU"] == "higher"
  assert by_group.unit == "m"
  assert table_values.headings(by_group) == [
    "cube (n = 1)",
    "cone (n = 2)",
    "linear (n = 3)",
  ]
  assert {column.direction for column in by_group.columns} == {"lower"}
  found = table_values.rows(by_group)["predicted"]
  assert found == pytest.approx([0.1, 0.25, 0.2])


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
