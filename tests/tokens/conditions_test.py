"""Tests of what tasks show of a clip."""

import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens.conditions import Condition


@pytest.fixture
def clips():
  rng = np.random.default_rng(0)
  return rng.uniform(size=(2, 8, 8, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("mode", ["edge", "constant", "wrap", "reflect"])
def test_frame_prediction_pads_as_numpy_does(clips, mode):
  condition = Condition("frame_prediction", 5, 3, cond_padding=mode)
  widths = [(0, 0), (0, 3), (0, 0), (0, 0), (0, 0)]
  np.testing.assert_array_equal(
    condition.video(jnp.asarray(clips)), np.pad(clips[:, :5], widths, mode)
  )
  np.testing.assert_array_equal(
    condition.video_mask((8, 1, 1))[0, :, 0, 0, 0], [True] * 5 + [False] * 3
  )
  np.testing.assert_array_equal(
    condition.latent_mask((4, 1, 1))[0, :, 0, 0], [True] * 3 + [False]
  )


def test_frame_interpolation_draws_straight_lines_between_the_ends(clips):
  condition = Condition("frame_interpolation", 2, 1)
  got = np.asarray(condition.video(jnp.asarray(clips)))
  np.testing.assert_array_equal(got[:, [0, 1, 6, 7]], clips[:, [0, 1, 6, 7]])
  # From frame 1 to frame 6 each pixel goes in equal steps.
  steps = np.diff(got[:, 1:7], axis=1)
  expected = np.broadcast_to((clips[:, 6:7] - clips[:, 1:2]) / 5, steps.shape)
  np.testing.assert_allclose(steps, expected, atol=4 * 2**-24)
  is_end = [True, True, False, False, False, False, True, True]
  np.testing.assert_array_equal(
    condition.video_mask((8, 1, 1))[0, :, 0, 0, 0], is_end
  )
  np.testing.assert_array_equal(
    condition.latent_mask((4, 1, 1))[0, :, 0, 0], [True, False, False, True]
  )


def test_latent_frame_prediction_shows_the_whole_clip(clips):
  condition = Condition("latent_frame_prediction", cond_latent_frames=1)
  np.testing.assert_array_equal(condition.video(jnp.asarray(clips)), clips)
  assert not condition.video_mask((8, 8, 12)).any()
  np.testing.assert_array_equal(
    condition.latent_mask((2, 1, 1))[0, :, 0, 0], [True, False]
  )


@pytest.mark.parametrize("mode", ["edge", "reflect"])
@pytest.mark.parametrize(
  ("region", "rows", "columns"),
  [
    ("quarter_topleft", (0, 4), (0, 6)),
    ("rectangle_horizontal", (2, 6), (0, 12)),
    ("rectangle_vertical", (0, 8), (3, 9)),
    ("rectangle_central", (2, 6), (3, 9)),
  ],
)
def test_outpainting_pads_its_rectangle_as_numpy_does(
  clips, region, rows, columns, mode
):
  condition = Condition("outpainting", cond_region=region, cond_padding=mode)
  given = clips[:, :, slice(*rows), slice(*columns)]
  widths = [(rows[0], 8 - rows[1]), (columns[0], 12 - columns[1])]
  expected = np.pad(given, [(0, 0), (0, 0), *widths, (0, 0)], mode)
  np.testing.assert_array_equal(condition.video(jnp.asarray(clips)), expected)
  mask = np.zeros((8, 12), bool)
  mask[slice(*rows), slice(*columns)] = True
  np.testing.assert_array_equal(
    condition.video_mask((8, 8, 12))[0, 0, ..., 0], mask
  )


@pytest.mark.parametrize("region", ["quarter_topleft", "rectangle_central"])
def test_inpainting_is_the_complement_of_outpainting(clips, region):
  hole = Condition("inpainting", cond_region=region)
  rest = Condition("outpainting", cond_region=region, cond_padding="constant")
  for grid in ((8, 8, 12), (2, 4, 4)):
    np.testing.assert_array_equal(
      hole.latent_mask(grid), ~rest.latent_mask(grid)
    )
  both = hole.video(jnp.asarray(clips)) + rest.video(jnp.asarray(clips))
  np.testing.assert_array_equal(both, clips)


def test_sliding_windows_go_from_left_to_right_and_round_half_to_even():
  condition = Condition("outpainting", cond_region="dynamic_vertical")
  mask = condition.video_mask((5, 2, 4))[0, :, 0, :, 0]
  # Starts 0, .5, 1, 1.5, 2.
  expected = ["##..", "##..", ".##.", "..##", "..##"]
  assert ["".join(".#"[x] for x in row.astype(int)) for row in mask] == expected


def test_a_sliding_hole_lies_between_a_quarter_and_three_quarters_high(clips):
  condition = Condition("inpainting", cond_region="dynamic_central")
  got = np.asarray(condition.video(jnp.asarray(clips)))
  for frame, start in enumerate([0, 1, 2, 3, 3, 4, 5, 6]):  # 6 i / 7.
    expected = clips[:, frame].copy()
    expected[:, 2:6, start : start + 6] = 0
    np.testing.assert_array_equal(got[:, frame], expected)


def test_a_prefix_condition_has_no_place_among_the_latents(clips):
  condition = Condition("frame_prediction", prefix_condition=True)
  assert not condition.video_mask((8, 8, 12)).any()
  assert not condition.latent_mask((4, 2, 3)).any()
  np.testing.assert_array_equal(
    condition.video(jnp.asarray(clips)), np.repeat(clips[:, :1], 8, axis=1)
  )


@pytest.mark.parametrize("cond_frames", [0, 8, 9])
def test_given_frames_must_leave_something_to_predict(cond_frames):
  condition = Condition("frame_prediction", cond_frames)
  with pytest.raises(ValueError, match=f"={cond_frames} of .* between 1 and 7"):
    condition.check_frames(8)


def test_a_condition_of_all_frames_is_the_clip(clips):
  for condition in (
    Condition("frame_prediction", 8),
    Condition("frame_interpolation", 4),
  ):
    np.testing.assert_array_equal(condition.video(jnp.asarray(clips)), clips)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (dict(kind="frames"), "'frames'; use one of 'frame_prediction'"),
    (dict(kind="outpainting"), "cond_region of outpainting is None"),
    (
      dict(kind="inpainting", cond_region="dynamic_vertical"),
      "cond_region of inpainting",
    ),
    (
      dict(
        kind="inpainting", cond_region="rectangle_central", cond_padding="edge"
      ),
      "cond_padding of inpainting rectangle_central is 'edge'",
    ),
    (
      dict(
        kind="outpainting", cond_region="dynamic_vertical", cond_padding="edge"
      ),
      "cond_padding",
    ),
    (dict(kind="frame_interpolation", cond_padding="edge"), "'interpolate'"),
    (
      dict(kind="frame_interpolation", prefix_condition=True),
      "prefix_condition is for frame_prediction",
    ),
  ],
)
def test_wrong_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    Condition(**options)
