"""Tests of what --sweep says."""

import json

import pytest

from launch import swept_fields
from magvit3d.errors import UserError


def test_each_value_meets_each_of_the_other_fields():
  found = swept_fields.read("a.x=1,2; --config.b=3,4;")
  assert found == [
    {"a.x": "1", "b": "3"},
    {"a.x": "1", "b": "4"},
    {"a.x": "2", "b": "3"},
    {"a.x": "2", "b": "4"},
  ]


def test_commas_in_brackets_and_quotes_part_nothing():
  found = swept_fields.read("a=(1,2),(3,4);b='x;,y'")
  assert found == [
    {"a": "(1,2)", "b": "'x;,y'"},
    {"a": "(3,4)", "b": "'x;,y'"},
  ]


def _write(folder, content):
  path = folder / "sweep.json"
  path.write_text(json.dumps(content))
  return str(path)


def test_parts_of_a_file_are_multiplied(tmp_path):
  content = {
    "grid": {"a": [1, [2, 3]]},
    "zip": {"b": [True, None], "c": ["x", "y"]},
    "seeds": 2,
  }
  found = swept_fields.read(_write(tmp_path, content))
  assert len(found) == 2 * 2 * 2
  assert found[0] == {"a": "1", "b": "True", "c": "x", "seed": "0"}
  assert found[-1] == {"a": "(2, 3)", "b": "None", "c": "y", "seed": "1"}


def test_a_python_file_is_called(tmp_path):
  path = tmp_path / "sweep.py"
  path.write_text("def get_sweep():\n  return {'seeds': [7, 9]}\n")
  assert swept_fields.read(str(path)) == [{"seed": "7"}, {"seed": "9"}]
  path.write_text("def get_sweep():\n  return 1 / 0\n")
  with pytest.raises(UserError, match=r"sweep\.py cannot be read \(ZeroDiv"):
    swept_fields.read(str(path))


def test_random_points_are_in_range_and_the_same_again(tmp_path):
  fields = {
    "rate": {"min": 1e-4, "max": 1e-2, "log": True},
    "width": {"min": 2, "max": 4},
    "name": ["u", "v"],
  }
  drawn = {"random": {"num": 40, "seed": 5, "fields": fields}}
  found = swept_fields.read(_write(tmp_path, drawn))
  assert found == swept_fields.read(_write(tmp_path, drawn))
  rates = [float(point["rate"]) for point in found]
  assert 1e-4 <= min(rates) < 1e-3 < max(rates) <= 1e-2
  assert {point["width"] for point in found} == {"2", "3", "4"}
  assert {point["name"] for point in found} == {"u", "v"}
  drawn["random"]["seed"] = 6
  assert found != swept_fields.read(_write(tmp_path, drawn))


@pytest.mark.parametrize(
  "text, message",
  [
    ("a", "'a' is not FIELD=VALUE,VALUE"),
    ("a=1;a=2", "a comes twice"),
    ("a=1,,2", "a has a value of no letters"),
    ("", "there is no field with a value"),
    ("none.json", "none.json cannot be read"),
  ],
)
def test_what_cannot_be_read_is_told(text, message):
  with pytest.raises(UserError, match=message):
    swept_fields.read(text)


@pytest.mark.parametrize(
  "content, message",
  [
    ({"zip": {"a": [1, 2], "b": [1]}}, "equally many values.*a 2, b 1"),
    ({"grid": {"a": [1]}, "zip": {"a": [2]}}, "a is swept twice"),
    ({"grid": {"seed": [1]}, "seeds": 2}, "seed is swept twice"),
    ({"grid": {"a": 1}}, r"cannot be read.*grid"),
    ({"grids": {}}, "unknown field `grids`"),
    ({"grid": {"a": []}}, "length >= 1"),
    ({"seeds": 0}, "no field with a value"),
    (
      {"random": {"num": 2, "fields": {"a": 3}}},
      r"random\.fields\.a is neither",
    ),
    (
      {
        "random": {"num": 2, "fields": {"a": {"min": 0, "max": 1, "log": True}}}
      },
      "log needs a min above 0",
    ),
    (
      {"random": {"num": 2, "fields": {"a": {"min": 2, "max": 1}}}},
      "min is not below max",
    ),
  ],
)
def test_a_wrong_file_is_told(content, message, tmp_path):
  with pytest.raises(UserError, match=message):
    swept_fields.read(_write(tmp_path, content))
