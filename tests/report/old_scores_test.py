"""Scores of older versions are read as what they were, and any file is."""

import json

import pytest
import table_values

from magvit3d.evaluation.tables import Cell, Column, Row, Table
from magvit3d.report import score_tables
from magvit3d.report.file_reading import read_tables

_PATHS = {
  "title": "Predicted paths",
  "note": "Half a clip is given.",
  "split": "test",
  "n": 48,
  "columns": ["", "ADE, m", "failures", "PSNR, dB", "tokens"],
  "rows": [
    ["predicted", "0.1011 [0.0887, 0.1144]", "0.0000 [0.0000, 0.0000]", 23, 9],
    ["copy last", "0.2912", None, 20.18, 9],
    ["floor: true frames", "-1e-05 [-2e-05, 0]", 0.0, 100.0, 9],
  ],
  "baselines": ["copy last"],
}


def _read(*tables):
  return read_tables(json.loads(json.dumps({"tables": tables})))


def test_texts_become_numbers_and_intervals():
  (table,) = _read(_PATHS)
  assert table == Table(
    "Predicted paths",
    "Half a clip is given.",
    "test",
    48,
    (
      Column("ADE", "m", "lower"),
      Column("failures", "", "lower"),
      Column("PSNR", "dB", "higher"),
      Column("tokens", "", None),
    ),
    (
      Row.of(
        "predicted",
        "model",
        (Cell(0.1011, 0.0887, 0.1144), Cell(0.0, 0.0, 0.0), 23, 9),
      ),
      Row.of("copy last", "baseline", (0.2912, None, 20.18, 9)),
      Row.of(
        "floor: true frames", "floor", (Cell(-1e-5, -2e-5, 0.0), 0.0, 100.0, 9)
      ),
    ),
  )


def test_a_single_stage_is_read_as_its_tables_are_today():
  scores = {
    "num_clips": 12,
    "tables": {
      "Reconstruction": {
        "tokenizer": {"psnr_db": 21.0, "ssim": 0.5},
        "baseline: copy": {"psnr_db": 20.0},
      },
      "Codes": {"tokenizer": {"usage": 0.5, "dead_codes": 16}},
      "no table": 3,
    },
  }
  assert read_tables(scores) == [
    Table(
      "Reconstruction",
      "",
      None,
      12,
      (Column("PSNR", "dB", "higher"), Column("SSIM", "", "higher")),
      (
        Row.of("tokenizer", "model", (21.0, 0.5)),
        Row.of("baseline: copy", "baseline", (20.0, None)),
      ),
    ),
    Table(
      "Codes",
      "",
      None,
      12,
      (Column("usage", "", None), Column("dead codes", "", None)),
      (Row.of("tokenizer", "model", (0.5, 16)),),
    ),
  ]


@pytest.mark.parametrize(
  "title, column, row, direction",
  [
    ("Reconstruction", "foreground PSNR, dB", "", "higher"),
    ("Reconstruction", "psnr_db", "", "higher"),
    ("Paths", "mask IoU", "", "higher"),
    ("Hidden tokens", "accuracy", "", "higher"),
    ("Hidden tokens", "accuracy of most frequent", "", None),
    ("Hidden tokens", "error ratio", "", "lower"),
    ("Paths", "failures", "", "lower"),
    ("Paths", "raw ADE, m", "", "lower"),
    ("Paths: ADE in metres by shape", "cube (n = 15)", "", "lower"),
    ("Probes: classes", "shape", "", "higher"),
    ("Probes: position", "t+5, m", "", "lower"),
    ("Networks", "generated", "fvd_i3d_k400", "lower"),
    ("Networks", "generated", "inception_score_c3d_ucf101", "higher"),
    ("Networks", "real clips", "fvd_i3d_k400", None),
    ("Use of the codebook", "perplexity", "", None),
    ("Rate", "bits per clip", "", None),
    ("Rate", "shaded area", "", None),
  ],
)
def test_more_or_less_is_better_where_that_is_known(
  title, column, row, direction
):
  (table,) = _read({"title": title, "columns": [column], "rows": [[row, 1.0]]})
  assert table.direction(table.columns[0], table.rows[0]) == direction


def test_the_oldest_tables_name_neither_baselines_nor_the_rows():
  (table,) = _read(
    {
      "title": "ADE in metres by motion",
      "columns": ["linear", "FDE (m)"],
      "rows": [["prediction", 0.0123, 0.1], ["constant velocity", 0.15]],
    }
  )
  assert table_values.headings(table) == ["linear", "FDE, m"]
  assert table_values.baselines(table) == ["constant velocity"]
  assert table.unit == "m" and table.split is table.n is None
  assert table.rows[1].cells == (Cell(0.15), Cell(None))
  page = score_tables.section([table])
  assert "<td>0.0123</td><td>0.1000</td>" in page
  assert "unknown split, n = unknown" in page


_SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize(
  "tables",
  [
    None,
    3,
    "tables",
    {"T": 3},
    {"T": {"row": 3}},
    [None, 3, []],
    [{}],
    [{"title": {}, "columns": {}, "rows": 3, "n": "x", "baselines": 3}],
    [{"columns": [_SCRIPT, [], None], "rows": [[_SCRIPT] * 9, 3, [], [None]]}],
    [{"columns": [], "rows": [[1, 2, 3]], "note": [_SCRIPT], "split": {}}],
    [_PATHS | {"rows": [["a", "1 [2", "[", "1 [2, 3, 4]", {}]]}],
  ],
)
@pytest.mark.parametrize("version", [{}, {"schema_version": 2}])
def test_a_file_that_holds_anything_is_read(tables, version):
  found = read_tables({"tables": tables, **version})
  page = score_tables.section(found)
  assert "<script" not in page
  assert found or "has no tables" in page


def test_a_damaged_table_of_today_leaves_the_others():
  good = _read(_PATHS)[0].to_json()
  bad = good | {"rows": "none"}
  found = read_tables({"schema_version": 2, "tables": [bad, good, None]})
  assert found == _read(_PATHS)
