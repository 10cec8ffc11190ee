"""Clips are what the records hold, cut to the window."""

import dataclasses

import numpy as np
import pytest
import small_scenes

from magvit3d.data.clips import (
  ClipSource,
  TrainingClipSource,
  load_clips,
  spread_indices,
)
from magvit3d.data.frame_window import fit_window


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
  return small_scenes.make(
    tmp_path_factory.mktemp("plain"), background="0,0,0.2"
  )


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
  return small_scenes.make(tmp_path_factory.mktemp("ground"), ground_plane=True)


def test_clip_is_a_view_of_a_scene(scenes):
  source = ClipSource(scenes)
  assert len(source) == small_scenes.NUM_SCENES * small_scenes.NUM_VIEWS
  for index in (0, 1, 35):
    clip, scene = source[index], scenes.scene(index // 3)
    for key in ("frames", "masks"):
      np.testing.assert_array_equal(clip[key], scene[key][index % 3])
    assert clip["labels"] == scene["class"]
    assert clip["labels"].dtype == np.int32


def test_evaluation_takes_the_middle_window(scenes):
  whole = ClipSource(scenes)[4]
  clip = ClipSource(scenes, fit_window(8, 3, 2))[4]
  for key in ("frames", "masks"):
    np.testing.assert_array_equal(clip[key], whole[key][2:7:2])


def test_training_draws_windows(scenes):
  window = fit_window(8, 4, 1)
  source = TrainingClipSource(scenes, window)
  whole = ClipSource(scenes)[4]["frames"]
  for seed in range(6):
    frames = window.draw(np.random.default_rng(seed))
    clip = source.random_clip(4, np.random.default_rng(seed))
    np.testing.assert_array_equal(clip["frames"], whole[frames])


@pytest.mark.parametrize(
  ("kind", "size", "share"),
  [
    # Masks leave out the tips of cones, which are thinner than a pixel.
    ("scenes", 1, 0.999),
    # There are shadows.
    ("ground", 32, 0.8),
  ],
)
def test_background_is_what_pixels_without_an_object_show(
  kind, size, share, request
):
  source = ClipSource(request.getfixturevalue(kind))
  clips = load_clips(source, range(len(source)))
  background = clips["background"]
  assert background.shape == (36, size, size, 3)
  assert background.dtype == np.float32
  assert background.max() == pytest.approx(
    0.2 if kind == "scenes" else 0.29, abs=0.02
  )
  is_far = ~_near_objects(clips["masks"])
  assert is_far.mean() > 0.3
  difference = clips["frames"] - background[:, None] * 255
  assert np.mean(np.abs(difference[is_far]) <= 0.5) > share


def _near_objects(masks):
  """Pixels of an object or next to one: edges mix both."""
  is_object = np.pad(masks > 0, ((0, 0), (0, 0), (1, 1), (1, 1)))
  near = np.zeros(masks.shape, bool)
  for down in range(3):
    for right in range(3):
      near |= is_object[:, :, down : down + 32, right : right + 32]
  return near


@dataclasses.dataclass
class _Numbers:
  count: int = 12

  def __len__(self):
    return self.count


@pytest.mark.parametrize("count", [1, 5, 12, 99])
def test_spread_indices_are_different_and_cover_the_source(count):
  indices = spread_indices(_Numbers(), count)
  assert len(set(indices.tolist())) == min(count, 12)
  assert indices.min() == 0 and indices.max() < 12
  gaps = np.diff(indices)
  assert count == 1 or gaps.max() - gaps.min() <= 1
