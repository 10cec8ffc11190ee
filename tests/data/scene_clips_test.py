"""Samples of scenes hold the chosen views, frames and cameras."""

import numpy as np
import pytest
import small_scenes

from magvit3d.data.clips import ClipSource
from magvit3d.data.frame_window import fit_window
from magvit3d.data.scene_clips import (
  SceneClips,
  TrainingSceneClips,
  fold_views,
)
from magvit3d.errors import UserError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
  return small_scenes.make(tmp_path_factory.mktemp("data"))


def _check(sample, scene, views, frames):
  """Compares a sample with the whole record."""
  for key in ("frames", "masks"):
    np.testing.assert_array_equal(sample[key], scene[key][views][:, frames])
  for key in ("intrinsics", "camera_from_world"):
    np.testing.assert_array_equal(sample[key], scene[key][views])
  for key in ("trajectory", "orientation"):
    np.testing.assert_array_equal(sample[key], scene[key][frames])
  assert sample["views"].tolist() == views
  assert sample["views"].dtype == sample["labels"].dtype == np.int32
  assert sample["labels"] == scene["class"]
  assert sample["scene_id"] == scene["scene_id"]
  assert sample["size"] == np.float32(scene["size"])
  np.testing.assert_array_equal(
    sample["background"],
    np.broadcast_to(scene["background"], (len(views), 1, 1, 3)),
  )


def test_sample_is_the_whole_scene_by_default(scenes):
  source = SceneClips(scenes)
  assert len(source) == small_scenes.NUM_SCENES
  for index in (0, 11):
    _check(source[index], scenes.scene(index), [0, 1, 2], slice(None))


@pytest.mark.parametrize(("num_views", "views"), [(1, [0]), (2, [0, 1])])
def test_evaluation_takes_fixed_views_of_the_middle_window(
  scenes, num_views, views
):
  source = SceneClips(scenes, num_views, fit_window(8, 4, 1))
  _check(source[3], scenes.scene(3), views, slice(2, 6))


def test_training_draws_every_pair_of_views_and_every_window(scenes):
  source = TrainingSceneClips(scenes, 2, fit_window(8, 6, 1))
  rng = np.random.default_rng(0)
  scene, seen = scenes.scene(5), set()
  for _ in range(60):
    sample = source.random_clip(5, rng)
    views = sample["views"].tolist()
    starts = [
      start
      for start in range(3)
      if (sample["trajectory"] == scene["trajectory"][start : start + 6]).all()
    ]
    (start,) = starts
    _check(sample, scene, views, slice(start, start + 6))
    seen.add((*views, start))
  assert seen == {
    (*views, start) for views in [(0, 1), (0, 2), (1, 2)] for start in range(3)
  }


def test_more_views_than_cameras_are_refused(scenes):
  for wrong in (0, 4):
    with pytest.raises(UserError, match=f"num_views={wrong}.*3 cameras"):
      SceneClips(scenes, wrong)


def test_each_view_has_its_own_picture_of_the_ground(tmp_path):
  scenes = small_scenes.make(
    tmp_path, ground_plane=True, camera_rig="2,0,1; 0,2,0.3; -2,0,1"
  )
  sample = SceneClips(scenes, 2)[1]
  expected = np.float32(scenes.scene(1)["background_frames"][:2]) / 255
  np.testing.assert_array_equal(sample["background"], expected)
  assert (expected[0] != expected[1]).any()


def test_folded_scenes_are_the_clips_of_their_views(scenes):
  source = SceneClips(scenes)
  samples = [source[index] for index in (2, 7)]
  batch = {key: np.stack([s[key] for s in samples]) for key in samples[0]}
  folded, clips = fold_views(batch), ClipSource(scenes)
  for place, index in enumerate([6, 7, 8, 21, 22, 23]):
    clip = clips[index]
    assert folded.keys() == clip.keys()
    for key, value in clip.items():
      np.testing.assert_array_equal(folded[key][place], value)
