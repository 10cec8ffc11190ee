"""Tracks from CSV files and from the JSON itself."""

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.files.json_fields import JsonField
from data_gen.footage.tracks import read_track

EXPECTED = [[0.5, -1, 2], [np.nan] * 3, [1e-3, 0, 0], [np.nan] * 3]


def _read(folder, value):
  field = JsonField(value, "recordings[0].track", folder / "rig.json")
  return read_track(field)


@pytest.mark.parametrize(
  "text",
  [
    "0.5,-1,2\n,,\n1e-3,0,0\nnan,nan,nan\n",
    "x,y,z\n0.5,-1,2\n,,\n1e-3,0,0\n0.1,,0.2\n",
    "\ufefffr, Z ,Y,X\r\n0,2,-1,.5\r\n1,,,\r\n2,0,0,1e-3\r\n3,NaN,1,1\r\n\r\n",
    "x,y,z\n0.5,-1,2\n\n1e-3,0,0\n,,",
  ],
)
def test_csv_files_are_read(tmp_path, text):
  (tmp_path / "track.csv").write_bytes(text.encode())
  track, path = _read(tmp_path, "track.csv")
  np.testing.assert_array_equal(track, np.array(EXPECTED, np.float32))
  assert path == tmp_path / "track.csv"


def test_lists_are_read(tmp_path):
  value = [[0.5, -1, 2], None, [1e-3, 0, 0], [1, None, float("nan")]]
  track, path = _read(tmp_path, value)
  np.testing.assert_array_equal(track, np.array(EXPECTED, np.float32))
  assert path is None


@pytest.mark.parametrize(
  "text, message",
  [
    ("", "no rows"),
    ("x,y,z\n", "no rows"),
    ("1,2,3\n1,2\n", "line 2 has 2 columns, not 3"),
    ("x,y,z\n1,2,3\n1,2,oops\n", "line 3 is '1,2,oops'"),
    ("east,north,up\n1,2,3\n", "line 1 is 'east,north,up'"),
    ("1,2,inf\n", "line 1 has a number that is not finite"),
  ],
)
def test_bad_csv_files_are_named(tmp_path, text, message):
  (tmp_path / "track.csv").write_text(text)
  with pytest.raises(
    DataError, match=rf"rig\.json: recordings\[0\]\.track .*csv: .*{message}"
  ):
    _read(tmp_path, "track.csv")


@pytest.mark.parametrize(
  "value, message",
  [
    ("none.csv", r"recordings\[0\]\.track is 'none\.csv', but .* not exist"),
    (".", r"recordings\[0\]\.track cannot be read"),
    ([], r"recordings\[0\]\.track must be a list"),
    ([[1, 2, 3], [1, 2]], r"recordings\[0\]\.track\[1\] must be \[x, y, z\]"),
    ([[1, "2", 3]], r"recordings\[0\]\.track\[0\] must be a list of numbers"),
    ([[1, float("inf"), 3]], r"track\[0\] has numbers that are not finite"),
    (7, r"recordings\[0\]\.track must be a list"),
  ],
)
def test_bad_values_are_named(tmp_path, value, message):
  with pytest.raises(DataError, match=message):
    _read(tmp_path, value)
