"""Velocities are found in pixels, and failures count."""

import numpy as np
import pytest

from data_gen import schema
from data_gen.rendering import soft_figures
from data_gen.scene_makers import make_scene
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.phyworld_laws import FRAME_S
from magvit3d.evaluation import velocity_error

_SPLITS = ("train", "ood_size", "ood_speed", "ood_size_speed")
_COUNT = 6
_GIVEN = 3


def _load(law, size):
  options = DatasetOptions(
    preset=f"phyworld_{law}",
    num_frames=32,
    image_size=size,
    **{f"num_{split}": _COUNT for split in _SPLITS},
  )
  scenes = [
    make_scene(options, split, index)
    for split in _SPLITS
    for index in range(_COUNT)
  ]
  clips = np.stack([scene[schema.FRAMES][0] for scene in scenes])
  if law == "collision":
    paths = np.stack([scene[schema.OBJECTS_TRAJECTORY] for scene in scenes])
    sizes = np.stack([scene[schema.OBJECTS_SIZE] for scene in scenes])
  else:
    paths = np.stack([scene[schema.TRAJECTORY][None] for scene in scenes])
    sizes = np.array([[scene[schema.SIZE]] for scene in scenes])
  return clips, paths[..., :2], soft_figures.radius_of("circle", sizes)


@pytest.fixture(scope="module")
def uniform():
  return _load("uniform", 32)


@pytest.mark.parametrize("law", ["uniform", "parabola"])
@pytest.mark.parametrize("size", [32, 128])
def test_true_clips_show_the_true_velocity(law, size):
  """Tolerance: fine cells of an eighth (a half at 128 px) of a pixel.

  The centre of the smallest disc is off by up to 0.005 px (0.003 at 128 px
  where its radius is 4 px), measured in `soft_figures_test`; rounding to bytes
  adds 0.3/255 of a pixel. Two such centres over 0.1 s, 10/size units a pixel.
  """
  clips, paths, radii = _load(law, size)
  found = velocity_error.score(clips, paths, radii, _GIVEN)
  tolerance = 2 * (0.005 + 0.3 / 255) * 10 / size / FRAME_S
  assert found.is_scored.sum() > 300
  assert found.errors[found.is_scored].max() < tolerance
  assert not found.missing.any()


@pytest.mark.variants
@pytest.mark.parametrize("size", [32, 128])
def test_two_discs_are_told_apart_even_where_they_touch(size):
  """The border is one column: half of it, at most, is on the wrong side.

  Of the smaller disc in distribution, that is 2 px of 15 by 1 px.
  """
  clips, paths, radii = _load("collision", size)
  found = velocity_error.score(clips, paths, radii, _GIVEN)
  assert found.is_scored.sum() > 150
  assert found.errors[found.is_scored].max() < 2 / 15 * 10 / size / FRAME_S
  assert found.errors[found.is_scored].mean() < 0.01


def test_the_error_is_what_velocities_are_off_by(uniform):
  clips, paths, radii = uniform
  times = FRAME_S * np.arange(paths.shape[2])
  faster = paths + np.array([0.5, 0.0]) * times[:, None]
  found = velocity_error.score(clips, faster, radii, _GIVEN)
  exact = velocity_error.score(clips, paths, radii, _GIVEN)
  both = found.is_scored & exact.is_scored
  assert both.sum() > 100
  np.testing.assert_allclose(found.errors[both], 0.5, atol=0.04)


def test_stills_are_off_by_the_speed(uniform):
  clips, paths, radii = uniform
  still = clips[:, :1].repeat(clips.shape[1], 1)
  found = velocity_error.score(still, paths, radii, _GIVEN)
  speeds = np.linalg.norm(np.diff(paths, axis=2), axis=-1)[:, 0] / FRAME_S
  expected = np.pad(speeds, ((0, 0), (1, 0)))
  np.testing.assert_allclose(found.errors, expected, atol=1e-6)


@pytest.mark.parametrize("level", [255, 0])
def test_empty_and_black_clips_fail(uniform, level):
  """White has no disc; in black the disc is all, and stands still."""
  clips, paths, radii = uniform
  found = velocity_error.score(np.full_like(clips, level), paths, radii, _GIVEN)
  speeds = np.linalg.norm(np.diff(paths, axis=2), axis=-1)[:, 0] / FRAME_S
  np.testing.assert_allclose(found.errors[:, 1:], speeds, atol=1e-6)
  expected = found.counts if level else 0 * found.counts
  np.testing.assert_array_equal(found.missing, expected)


def test_a_disc_that_vanishes_counts_as_still(uniform):
  clips, paths, radii = uniform
  gone = clips.copy()
  gone[:, 6] = 255
  found = velocity_error.score(gone, paths, radii, _GIVEN)
  speeds = np.linalg.norm(np.diff(paths, axis=2), axis=-1)[:, 0] / FRAME_S
  # To the frame and from it.
  np.testing.assert_allclose(found.errors[:, 6:8], speeds[:, 5:7], atol=1e-6)
  np.testing.assert_array_equal(found.missing, found.is_scored[:, 6])


@pytest.mark.parametrize("direction", [1, -1])
def test_only_predicted_frames_in_the_image_count(uniform, direction):
  """Discs leave the image; backwards, they come into it."""
  clips, paths, radii = uniform
  clips, paths = clips[:, ::direction], paths[:, :, ::direction]
  found = velocity_error.score(clips, paths, radii, _GIVEN)
  assert not found.is_scored[:, :_GIVEN].any()
  reach = radii[:, :, None] + 10 / 32
  is_in = np.abs(paths[:, 0]).max(-1) + reach[:, 0] <= 5
  expected = is_in[:, 1:] & is_in[:, :-1]
  expected[:, : _GIVEN - 1] = False
  np.testing.assert_array_equal(found.is_scored[:, 1:], expected)
  sums = np.where(found.is_scored, found.errors, 0).sum()
  assert found.sums.sum() == pytest.approx(sums)
  by_frame = found.by_frame
  assert np.isnan(by_frame[:_GIVEN]).all()
  rows = found.is_scored[:, 5]
  assert by_frame[5] == pytest.approx(found.errors[rows, 5].mean())


@pytest.mark.parametrize("column", [0, 9, 31])
def test_two_discs_are_not_found_in_a_line(column):
  clip = np.full((4, 32, 32, 3), 255, np.uint8)
  clip[:, :, column] = 0
  found = velocity_error.find_discs(clip, np.array([1.4, 0.7]))
  # Either is in the line, or not there.
  assert found[np.isfinite(found)].size
  x = (column + 0.5) * 10 / 32 - 5
  np.testing.assert_allclose(found[..., 0][np.isfinite(found[..., 0])], x)


def test_faint_noise_far_from_the_disc_does_not_count(uniform):
  clips, paths, radii = uniform
  noisy = clips.copy()
  noisy[:, :, 0, 0] = 200  # A fifth as dark as the disc.
  found = velocity_error.score(noisy, paths, radii, _GIVEN)
  exact = velocity_error.score(clips, paths, radii, _GIVEN)
  near = (np.abs(paths[:, 0] + 5) < radii[:, :, None] + 3 * 10 / 32).all(-1)
  rows = found.is_scored & ~near & ~np.roll(near, 1, axis=1)
  np.testing.assert_array_equal(found.errors[rows], exact.errors[rows])
