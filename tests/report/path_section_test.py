"""Tests of the paths that the report embeds."""

import json
import re

import numpy as np
import pytest
from report_inputs import make_paths

from magvit3d.report import path_section


def _content(page):
  return json.loads(re.search('id="path-data">(.*?)</script>', page)[1])


def test_positions_are_embedded_to_the_millimetre():
  paths = make_paths()
  content = _content(path_section.section(paths, np.arange(4)))
  for row, scene in enumerate(content["scenes"]):
    np.testing.assert_allclose(
      np.array(scene["truth"]) / 1000, paths["truth"][row], atol=5.001e-4
    )
    for source, path in enumerate(scene["paths"]):
      wanted = paths["positions"][source, row]
      is_known = np.isfinite(wanted).all(-1)
      assert [point is not None for point in path] == is_known.tolist()
      found = np.array([point for point in path if point is not None])
      np.testing.assert_allclose(found / 1000, wanted[is_known], atol=5.001e-4)
      told = [letter == "1" for letter in scene["found"][source]]
      assert told == paths["is_found"][source, row].tolist()
  assert None in content["scenes"][0]["paths"][0]


def test_cameras_that_all_scenes_share_are_embedded_once():
  paths = make_paths()
  paths["camera_from_world"][2, :, :, 3] += 0.1
  content = _content(path_section.section(paths, np.arange(4)))
  assert [scene["rig"] for scene in content["scenes"]] == [0, 0, 1, 0]
  np.testing.assert_allclose(
    content["rigs"][1]["matrices"], paths["camera_from_world"][2]
  )


def test_scenes_of_galleries_come_before_others():
  paths = make_paths(num_scenes=path_section.MAX_SCENES + 30)
  last = int(paths["scene_id"][-1])
  rows = path_section.choose_scenes(paths, {last, 999_999})
  assert len(rows) == path_section.MAX_SCENES
  assert rows[0] == 0 and rows[-1] == path_section.MAX_SCENES + 29
  assert (np.diff(rows) > 0).all()
  page = path_section.section(paths, rows)
  assert "30 more scenes are in evaluation/paths.npz" in page


def test_many_scenes_stay_small():
  paths = make_paths(num_scenes=200, num_frames=16)
  page = path_section.section(paths, np.arange(200))
  assert len(page.encode()) < 1e6


@pytest.mark.parametrize("key", ["truth", "is_found", "intrinsics", "names"])
def test_an_array_that_is_not_there_is_named(key):
  paths = make_paths()
  del paths[key]
  assert f"has no {key}." in path_section.problem(paths)


@pytest.mark.parametrize("key", ["ade", "positions", "captions", "intrinsics"])
def test_an_array_of_another_shape_is_named(key):
  paths = make_paths()
  paths[key] = paths[key][:-1]
  problem = path_section.problem(paths)
  assert f"is broken: {key} has the shape" in problem


def test_no_sources_leave_the_true_path():
  paths = make_paths()
  for key in ("names", "positions", "is_found", "ade"):
    paths[key] = paths[key][:0]
  assert not path_section.problem(paths)
  content = _content(path_section.section(paths, np.arange(4)))
  assert content["scenes"][0]["paths"] == []


def test_no_given_frames_are_told():
  paths = make_paths() | {"given_frames": np.array(0)}
  assert "No frames of these are given" in path_section.section(
    paths, np.arange(4)
  )
