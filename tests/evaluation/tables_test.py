"""Tables are the same after JSON, and cannot hold what is no score."""

import json
import math

import pytest
import table_values

from magvit3d.evaluation import results
from magvit3d.evaluation.tables import Cell, Column, Row, Table

_TABLE = Table(
  "Paths",
  "How to read it.",
  "test",
  48,
  (
    Column("ADE", "m", "lower"),
    Column("PSNR", "dB", "higher"),
    Column("tokens", "", None),
    Column("generated", "", "by row"),
  ),
  (
    Row.of("predicted", "model", (Cell(0.1, 0.05, 0.2), 20.5, 36864, 3.0)),
    Row.of("copy last", "baseline", (None, 1.0, 0, None), "higher"),
    Row.of("floor: true frames", "floor", (0.0, None, 1, 2.5), "lower"),
  ),
  row_heading="task, cells",
  unit="m",
)


def test_a_table_is_the_same_after_json():
  content = json.loads(json.dumps(_TABLE.to_json()))
  assert Table.from_json(content) == _TABLE
  assert content["rows"][0]["cells"] == [
    {"value": 0.1, "low": 0.05, "high": 0.2},
    20.5,
    36864,
    3.0,
  ]


def test_what_is_not_finite_stays_so():
  column = Column("ratio", "", "lower")
  row = Row.of("all", "model", [math.nan])
  table = Table("T", "", None, None, (column,), (row,))
  again = Table.from_json(json.loads(json.dumps(table.to_json())))
  assert math.isnan(again.rows[0].cells[0].value)
  assert again.split is again.n is None


def test_a_file_of_scores_is_json_to_all_readers(tmp_path):
  """NaN is none: jq and browsers do not read it."""
  row = Row.of("all", "model", [math.nan, Cell(1.0, 0.5, math.inf)])
  columns = (Column("ratio", "", "lower"), Column("ADE", "m", "lower"))
  table = Table("T", "", "test", 1, columns, (row,))
  results.write_scores(tmp_path, {"facts": (math.nan, 1)}, [table])

  def refuse(text):
    raise AssertionError(text)

  text = (tmp_path / "scores.json").read_text()
  content = json.loads(text, parse_constant=refuse)
  assert content["facts"] == [None, 1]
  cells = content["tables"][0]["rows"][0]["cells"]
  assert cells == [None, {"value": 1.0, "low": 0.5, "high": None}]


def test_directions_are_of_the_column_or_of_the_row():
  ade, _, tokens, generated = _TABLE.columns
  _, copy, floor = _TABLE.rows
  assert _TABLE.direction(ade, copy) == "lower"
  assert _TABLE.direction(tokens, copy) is None
  assert _TABLE.direction(generated, copy) == "higher"
  assert _TABLE.direction(generated, floor) == "lower"


def test_headings_have_the_unit():
  assert table_values.headings(_TABLE) == [
    "ADE, m",
    "PSNR, dB",
    "tokens",
    "generated",
  ]


@pytest.mark.parametrize(
  "place, value",
  [
    (("rows", 0, "cells", 1), "20.5"),
    (("rows", 0, "cells", 1), True),
    (("rows", 0, "cells", 0, "low"), "0.05"),
    (("rows", 0, "cells", 0, "other"), 1.0),
    (("rows", 0, "cells"), [1.0]),
    (("rows", 0, "cells"), None),
    (("rows", 0, "role"), "winner"),
    (("rows", 0, "direction"), "up"),
    (("rows", 0), "predicted"),
    (("rows",), 3),
    (("columns", 0, "direction"), "up"),
    (("columns", 0), "ADE, m"),
    (("columns",), None),
    (("n",), float("inf")),
    (("n",), "many"),
  ],
)
def test_what_is_no_table_is_an_error(place, value):
  content = json.loads(json.dumps(_TABLE.to_json()))
  found = content
  for key in place[:-1]:
    found = found[key]
  found[place[-1]] = value
  with pytest.raises(ValueError):
    Table.from_json(content)


@pytest.mark.parametrize("content", [None, [], 3, "table", {}])
def test_what_is_no_object_is_an_error(content):
  with pytest.raises(ValueError):
    Table.from_json(content)


def test_scores_have_their_version_and_all_parts(tmp_path):
  results.write_scores(tmp_path, {"key": "abc"}, [_TABLE])
  scores = json.loads((tmp_path / "scores.json").read_text())
  assert scores == {
    "schema_version": 2,
    "key": "abc",
    "tables": [_TABLE.to_json()],
    "checks": [],
    "confusions": [],
    "plots": [],
  }
  table_values.check(scores)
