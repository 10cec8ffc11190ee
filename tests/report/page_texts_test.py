"""The numbers of a column have one format, by their unit or their size."""

import math

import pytest

from magvit3d.evaluation.tables import Cell, Column, Row, Table
from magvit3d.report.page_texts import cell_html, column_decimals, value_text
from magvit3d.report.score_tables import section


def _column(unit, values):
  decimals = column_decimals(unit, values)
  return [value_text(value, decimals) for value in values]


@pytest.mark.parametrize(
  "unit, values, texts",
  [
    ("m", [0.003064, 0.1564, 12.5], ["0.0031", "0.1564", "12.5000"]),
    ("dB", [30.12345, 9.0, 101], ["30.12", "9.00", "101.00"]),
    ("px", [0.5, 11.0], ["0.500", "11.000"]),
    ("", [0.958333, 0.5, None], ["0.9583", "0.5000", "–"]),
    ("", [1.0, 0.958333], ["1.0000", "0.9583"]),
    ("", [74.1234, 1.0], ["74.12", "1.00"]),
    ("", [3.585, 1689.1], ["4", "1,689"]),
    ("", [36864, 1], ["36,864", "1"]),
    ("", [2, 0.5], ["2.000", "0.500"]),
    ("", [0.0, float("nan")], ["0.0000", "not finite"]),
    ("", [None, True], ["–", "True"]),
    ("", [], []),
  ],
)
def test_numbers_of_a_column_are_alike(unit, values, texts):
  assert _column(unit, values) == texts


def _section(title, columns, unit=""):
  rows = (
    Row.of("tokens", "model", (0.003064, 0.5)),
    Row.of("constant velocity", "baseline", (0.1564, None)),
  )
  return section([Table(title, "", "test", 3, columns, rows, unit=unit)])


def test_a_table_has_one_format_a_column():
  html = _section(
    "Probes", (Column("t+1", "m", "lower"), Column("accuracy", "", "higher"))
  )
  assert "<th></th><th>t+1, m</th><th>accuracy</th>" in html
  assert "<td>0.0031</td><td>0.5000</td>" in html
  assert '<tr class="baseline"><td>constant velocity</td>' in html
  assert "<td>0.1564</td><td>–</td>" in html
  groups = tuple(Column(name, "", "lower") for name in "ab")
  html = _section("ADE in metres by motion", groups, unit="m")
  assert "<th>a</th>" in html and "<td>0.0031</td><td>0.5000</td>" in html


def test_an_interval_stands_below_its_number():
  interval = "<small>[0.0000, 0.2000]</small>"
  assert cell_html(Cell(0.1, 0, 0.2), 4) == f"0.1000{interval}"
  assert cell_html(Cell(math.pi), 2) == "3.14"
  assert cell_html(Cell(None), 2) == "–"
