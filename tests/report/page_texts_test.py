"""The numbers of a column have one format, by their unit or their size."""

import math

import pytest

from magvit3d.report.page_texts import cell_html, column_decimals, value_text
from magvit3d.report.score_tables import section


def _column(head, values):
  decimals = column_decimals(head, values)
  return [value_text(value, decimals) for value in values]


@pytest.mark.parametrize(
  "head, values, texts",
  [
    ("ADE, m", [0.003064, 0.1564, 12.5], ["0.0031", "0.1564", "12.5000"]),
    ("PSNR (dB)", [30.12345, 9.0, 101], ["30.12", "9.00", "101.00"]),
    ("residual, px", [0.5, 11.0], ["0.500", "11.000"]),
    ("shape", [0.958333, 0.5, None], ["0.9583", "0.5000", "–"]),
    ("motion", [1.0, 0.958333], ["1.000", "0.958"]),
    ("perplexity", [74.1234, 1.0], ["74.12", "1.00"]),
    ("bits per clip", [3.585, 1689.1], ["4", "1,689"]),
    ("tokens", [36864, 1], ["36,864", "1"]),
    ("mixed", [2, 0.5], ["2.000", "0.500"]),
    ("zeros", [0.0, float("nan")], ["0.0000", "not finite"]),
    ("text", ["0.1 [0, 1]", None, True], ["0.1 [0, 1]", "–", "True"]),
    ("", [], []),
  ],
)
def test_numbers_of_a_column_are_alike(head, values, texts):
  assert _column(head, values) == texts


def test_a_table_has_one_format_a_column():
  table = {
    "title": "Probes",
    "columns": ["", "t+1, m", "accuracy"],
    "rows": [["tokens", 0.003064, 0.5], ["constant velocity", 0.1564, None]],
  }
  html = section([table])
  assert "<td>0.0031</td><td>0.5000</td>" in html
  assert "<td>0.1564</td><td>–</td>" in html
  grouped = section(
    [table | {"title": "ADE in metres by motion", "columns": ["", "a", "b"]}]
  )
  assert "<td>0.0031</td><td>0.5000</td>" in grouped


def test_an_interval_stands_below_its_number():
  assert cell_html("0.1 [0, 0.2]", 4) == "0.1<small>[0, 0.2]</small>"
  assert cell_html(math.pi, 2) == "3.14"
