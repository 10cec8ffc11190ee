"""Held-out scenes: halves without a common scene; why there are no paths."""

import numpy as np
import pytest
import small_scenes

from magvit3d.evaluation.held_out import HeldOutScenes


@pytest.mark.parametrize("num_scenes", [6, 7])
def test_every_second_one_is_of_other_scenes(num_scenes):
  scenes = HeldOutScenes({"labels": np.zeros(num_scenes, int)}, (), "test")
  order = scenes.apart(3 * num_scenes)
  assert sorted(order) == list(range(3 * 6))
  kept = order // 3
  assert not set(kept[::2]) & set(kept[1::2])
  assert len(set(kept[::2])) == len(set(kept[1::2])) == 3


def test_a_scene_alone_stays():
  scenes = HeldOutScenes({"labels": np.zeros(1, int)}, (), "test")
  assert scenes.apart(3).tolist() == [0, 1, 2]


def test_scenes_are_those_of_the_split(tmp_path):
  source = small_scenes.make(tmp_path)
  frames = slice(1, 5)
  held_out = HeldOutScenes(
    {}, source.class_names, "train", source, [3, 5], [0, 2], frames
  )
  assert held_out.why_not_scored() == ""
  found = list(held_out.scored())
  for scene, index in zip(found, (3, 5), strict=True):
    record = source.scene(index)
    np.testing.assert_array_equal(
      scene.frames, record["frames"][[0, 2], frames]
    )
    np.testing.assert_array_equal(
      scene.trajectory, record["trajectory"][frames].astype(float)
    )
    assert scene.solid.orientation.shape == (4, 4)


def test_why_there_are_no_paths(tmp_path):
  source = small_scenes.make(tmp_path, num_objects=2)
  views = [0, 1, 2]
  several = HeldOutScenes({}, (), "train", source, [0], views)
  assert "The data set has scenes with several objects" in (
    several.why_not_scored()
  )
  one = HeldOutScenes({}, (), "train", source, [0], [0])
  assert "One camera cannot" in one.why_not_scored()
  assert HeldOutScenes({}, (), "train").why_not_scored()
