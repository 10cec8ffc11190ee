"""Tests of confusion matrices in the report."""

import re

import numpy as np
import pytest
from report_inputs import make_confusion

from magvit3d.report import confusion_tables

_MATRIX = {
  "title": "Shapes",
  "note": "of <b>tokens</b>",
  "split": "test",
  "n": 13,
  "names": ["cube", "</script><b>", "cone"],
  "counts": [[6, 2, 0], [1, 3, 1], [0, 0, 0]],
}


def test_cells_hold_counts_and_shares_of_their_row():
  page = confusion_tables.tables([_MATRIX])
  rows = re.findall('<tr><th scope="row">.*?</tr>', page)
  cells = [
    re.findall(r"<td.*?--share:([\d.]+)\">(\d+)(?:<small>(\d+)%)?", row)
    for row in rows
  ]
  assert [[int(count) for _, count, _ in row] for row in cells] == [
    [6, 2, 0],
    [1, 3, 1],
    [0, 0, 0],
  ]
  assert [percent for _, _, percent in cells[0]] == ["75", "25", ""]
  assert [float(share) for share, _, _ in cells[1]] == [0.2, 0.6, 0.2]
  assert [re.search(r"<td>(\d+)</td></tr>", row)[1] for row in rows] == [
    "8",
    "5",
    "0",
  ]
  hits = [
    ["hit" in cell for cell in re.findall("<td[^>]*>", row)][:3] for row in rows
  ]
  assert hits == np.eye(3, dtype=bool).tolist()


def test_the_caption_tells_accuracy_split_and_number():
  page = confusion_tables.tables([_MATRIX])
  assert "(test split, n = 13; accuracy 69.2%)" in page
  assert "<b>tokens" not in page and "</script>" not in page


def test_many_classes_have_upright_heads():
  few = confusion_tables.tables([make_confusion(["a", "b"])])
  many = confusion_tables.tables([make_confusion([str(i) for i in range(15)])])
  assert "upright" not in few and "upright" in many
  assert many.count("<td") == 15 * 16


@pytest.mark.parametrize("confusions", [None, [], {"a": 1}])
def test_none_are_told(confusions):
  assert "has no confusions" in confusion_tables.tables(confusions)


@pytest.mark.parametrize(
  "counts",
  [
    None,
    [],
    [[1, 2], [3, 4]],
    [[1, 2, 3], [4, 5]],
    [[1, 2, float("nan")], [1, 2, 3], [1, 2, 3]],
    [[1, 2, -1], [1, 2, 3], [1, 2, 3]],
    [[1, 2, 0.5], [1, 2, 3], [1, 2, 3]],
    [["a", 2, 1], [1, 2, 3], [1, 2, 3]],
  ],
)
def test_counts_that_are_none_are_told_by_title(counts):
  page = confusion_tables.tables([_MATRIX | {"counts": counts}])
  assert "Shapes: the counts are no table of 3 x 3" in page


def test_without_clips_there_is_no_accuracy():
  page = confusion_tables.tables([_MATRIX | {"n": 0, "counts": [[0] * 3] * 3}])
  assert "n = 0; accuracy unknown" in page
