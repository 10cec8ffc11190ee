"""Tests of the overview of a data set."""

import pathlib
import re
from itertools import pairwise

import numpy as np
import pytest
from preview_data import make_footage, make_plain

from data_gen import preview, schema
from data_gen.previews import data_set, overview
from data_gen.previews.data_set import DataSet
from data_gen.scenes.scenes import make_scene


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  return make_plain(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def footage(plain, tmp_path_factory):
  return make_footage(plain, tmp_path_factory.mktemp("footage"))


def test_paths_with_gaps_have_the_length_of_their_known_steps():
  path = np.zeros((6, 3))
  path[:, 0] = [0, 1, np.nan, 5, 7, 7]
  assert data_set.path_length_m(path) == 3.0
  assert np.isnan(data_set.path_length_m(path[1:4]))


def test_an_overview_counts_what_was_rendered(plain):
  data = DataSet(pathlib.Path(plain.output_dir), "train")
  found = overview.make_overview(data, max_scenes=100)
  scenes = [make_scene(plain, "train", i) for i in range(13)]
  lengths = {}
  for scene in scenes:
    path = scene[schema.TRAJECTORY_CLEAN].astype(float)
    length = sum(np.linalg.norm(b - a) for a, b in pairwise(path))
    motion = plain.motions[scene[schema.MOTION]]
    lengths.setdefault(motion, []).append(length)
  assert found.lengths_m.keys() == lengths.keys()
  for name, values in lengths.items():
    np.testing.assert_allclose(found.lengths_m[name], values, rtol=1e-5)
  counts, edges = found.length_histograms()
  assert sum(c.sum() for c in counts.values()) == 13 == found.num_read
  assert edges[0] == 0 and edges[-1] > max(map(max, lengths.values()))
  visible = np.array([(s[schema.MASKS] == 1).sum((2, 3)) for s in scenes])
  np.testing.assert_array_equal(found.visibility.counts, visible)
  smallest, *place = found.visibility.smallest
  assert visible[tuple(place)] == smallest == visible.min()
  assert found.visibility.histogram()[0].sum() == visible.size


def test_frames_that_are_too_small_are_counted():
  counts = np.array([[[8, 9, 30]], [[0, 12, 8]]])
  found = overview.Visibility(counts, np.array([4, 7]))
  assert found.num_too_small == 3
  assert found.smallest == (0, 7, 0, 0)


def test_an_overview_has_a_tile_of_each_class(plain):
  """Of classes beyond the scenes that are read, too."""
  data = DataSet(pathlib.Path(plain.output_dir), "train")
  tiles = overview.make_overview(data, max_scenes=1).tiles
  assert [tile.class_name for tile in tiles] == list(plain.class_names)
  for label, tile in enumerate(tiles):
    if tile.class_name == "cone_helical":
      assert tile.index is None and tile.frames is None and tile.count == 0
      continue
    scene = make_scene(plain, "train", tile.index)
    assert scene[schema.CLASS] == label
    shown = scene[schema.FRAMES][0, [0, 2, 3, 5]]
    np.testing.assert_array_equal(tile.frames, shown)


def test_the_page_of_an_overview_says_so(plain, tmp_path):
  path = tmp_path / "overview.html"
  preview.preview_data(plain.output_dir, "ood_pair", str(path))
  page = path.read_text()
  assert page.count("This split has no scene of this class") == 11
  assert page.count("data:image/png;base64") == 1
  assert re.search(r"cone_helical</td><td>2</td><td>100.00%", page)
  visible = np.array(
    [
      (make_scene(plain, "ood_pair", i)[schema.MASKS] == 1).sum((2, 3))
      for i in range(2)
    ]
  )
  assert f"<dd>{visible.min()} px: scene " in page
  bars = re.search("frames of a camera by visible.*", page, re.DOTALL)[0]
  counts = re.findall(r"px: (\d+)</title>", bars)
  assert sum(map(int, counts)) == visible.size


def test_what_no_record_knows_is_called_unknown(footage, tmp_path):
  data = DataSet(footage, "train")
  found = overview.make_overview(data, 10)
  assert found.visibility is None and not found.lengths_m
  assert [tile.index for tile in found.tiles] == [0, 1, None]
  for suffix in (".html", ".png"):
    path = tmp_path / f"overview{suffix}"
    preview.preview_data(str(footage), "train", str(path))
  assert "Unknown" in (tmp_path / "overview.html").read_text()
