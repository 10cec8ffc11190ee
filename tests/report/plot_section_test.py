"""Tests of the report's plots of one score against another."""

import re
from itertools import pairwise

import pytest
from report_inputs import PLOT, SCRIPT

from magvit3d.report import plot_section


def _paths(page):
  return re.findall(r'<path d="([^"]*)"([^>]*)', page)


def test_lines_are_where_their_axes_say():
  plot = PLOT | {
    "series": [
      {"name": "a", "x": [0, 10, 20], "y": [0, 5, 10], "is_baseline": False}
    ]
  }
  page = plot_section.plots([plot])
  (line, _), *_ = _paths(page)
  found = [tuple(map(float, p)) for p in re.findall(r"([\d.]+) ([\d.]+)", line)]
  ticks = dict(
    (text, float(y))
    for y, text in re.findall(
      r'y="([\d.]+)" dy="4" text-anchor="end">([\d.]+)', page
    )
  )
  assert found[0][1] == ticks["0"] and found[2][1] == ticks["10"]
  x = {
    text: float(place)
    for place, text in re.findall(
      r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">([\d]+)<', page
    )
  }
  assert (found[0][0], found[2][0]) == (x["0"], x["20"])
  assert found[1] == (
    pytest.approx((found[0][0] + found[2][0]) / 2, abs=0.11),
    pytest.approx((found[0][1] + found[2][1]) / 2, abs=0.11),
  )


def test_a_baseline_is_dashed_and_one_point_of_it_goes_across():
  page = plot_section.plots([PLOT])
  (model, plain), (baseline, dashed) = _paths(page)
  assert "dasharray" not in plain and "dasharray" in dashed
  assert re.fullmatch(r"M50 [\d.]+H340", baseline)
  # The unknown value breaks the line.
  assert re.findall("[ML]", model) == ["M", "L", "M"]


def test_axes_and_lines_are_named_and_names_are_text():
  page = plot_section.plots([PLOT])
  assert ">bits per clip</text>" in page and ">PSNR, dB</text>" in page
  assert SCRIPT not in page and page.count("&lt;script&gt;") == 2


def test_a_wide_x_axis_is_logarithmic():
  series = {"name": "a", "x": [1, 10, 100, 1000], "y": [1, 2, 3, 4]}
  page = plot_section.plots([PLOT | {"series": [series]}])
  xs = [float(x) for x in re.findall(r'<circle cx="([\d.]+)', page)]
  steps = [b - a for a, b in pairwise(xs)]
  assert steps == pytest.approx([steps[0]] * 3, abs=0.11)


@pytest.mark.parametrize("plots", [None, [], "text"])
def test_none_are_told(plots):
  assert "has no plots" in plot_section.plots(plots)


@pytest.mark.parametrize(
  "series", [[], [{"name": "a", "x": [1], "y": [float("nan")]}], None]
)
def test_a_plot_without_values_is_told_by_title(series):
  page = plot_section.plots([PLOT | {"series": series}])
  assert "Rate and distortion: there are no finite values" in page
