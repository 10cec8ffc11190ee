"""Tests of the training curves in the report."""

import re

import pytest

from magvit3d.report import curves


def test_a_scalar_that_is_never_finite_gets_no_panel():
  records = [{"step": 1, "a": float("nan"), "b": None, "c": "text", "d": True}]
  assert curves.group_panels(records) == {}


def test_a_curve_breaks_where_a_value_is_not_finite():
  values = [1.0, 2.0, float("inf"), 2.0, 1.0]
  records = [{"step": i, "train/x": v} for i, v in enumerate(values)]
  (panel,) = curves.group_panels(records).items()
  svg = curves.panel_svg(*panel)
  assert svg.count("M") == 2 and svg.count("<circle") == 4


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [1e-9, 1e9], [-3, 7e6]])
def test_any_range_of_values_can_be_drawn(values):
  records = [{"step": i, "train/loss": v} for i, v in enumerate(values)]
  (panel,) = curves.group_panels(records).items()
  ys = re.findall(r'cy="([^"]+)"', curves.panel_svg(*panel))
  assert len(ys) == len(values) and all(0 <= float(y) <= 210 for y in ys)


def test_a_long_run_is_thinned_to_the_width_of_a_panel():
  records = [{"step": i, "train/x": float(i)} for i in range(10_000)]
  (panel,) = curves.group_panels(records).items()
  svg = curves.panel_svg(*panel)
  assert svg.count("L") <= 300 and len(svg) < 10_000


def test_validation_is_drawn_over_train_of_the_same_name():
  records = [
    {"step": 1, "time": 9.0, "train/loss": 5.0},
    {"step": 2, "time": 9.5, "train/loss": 4.0, "validation/loss": 3.5},
  ]
  assert curves.group_panels(records) == {
    "loss": {"train": [(1, 5.0), (2, 4.0)], "validation": [(2, 3.5)]}
  }
