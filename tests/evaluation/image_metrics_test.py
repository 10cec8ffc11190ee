"""Tests of the image scores against loops."""

import collections
import math

import numpy as np
import pytest

from magvit3d.evaluation import image_metrics


@pytest.fixture
def pair():
  rng = np.random.default_rng(0)
  a = rng.uniform(size=(2, 3, 14, 13, 3))
  b = np.clip(a + 0.1 * rng.normal(size=a.shape), 0, 1)
  return a, b


@pytest.fixture
def masks():
  masks = np.zeros((2, 4, 16, 12), bool)
  masks[0, 0, 0, 0] = True
  masks[0, 1, 5:8, 4:9] = True
  masks[0, 3, 15, 6] = True
  masks[1, 2, 8, 11] = True
  return masks


def _dilate_by_loops(masks, radius):
  out = np.zeros_like(masks)
  height, width = masks.shape[-2:]
  for *lead, row, column in np.argwhere(masks):
    for y in range(row - radius, row + radius + 1):
      for x in range(column - radius, column + radius + 1):
        if 0 <= y < height and 0 <= x < width:
          out[(*lead, y, x)] = True
  return out


def test_psnr_is_the_mean_over_frames_of_each_frames_psnr(pair):
  a, b = pair
  expected = [
    np.mean(
      [
        10 * math.log10(x.size / math.fsum(((x - y) ** 2).tolist()))
        for x, y in zip(
          clip_a.reshape(3, -1), clip_b.reshape(3, -1), strict=True
        )
      ]
    )
    for clip_a, clip_b in zip(a, b, strict=True)
  ]
  np.testing.assert_allclose(image_metrics.psnr(a, b), expected, rtol=1e-12)


def test_equal_frames_give_the_highest_psnr_and_not_infinity(pair):
  a, _ = pair
  np.testing.assert_array_equal(
    image_metrics.psnr(a, a), image_metrics.MAX_PSNR_DB
  )


def test_ssim_is_a_window_sum_over_the_inside_of_each_frame(pair):
  a, b = pair
  offsets = np.arange(11) - 5
  window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
  window /= window.sum()
  weights = [0.2125, 0.7154, 0.0721]
  expected = []
  for clip_a, clip_b in zip(a @ weights, b @ weights, strict=True):
    values = []
    for x, y in zip(clip_a, clip_b, strict=True):
      for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
          p = x[top : top + 11, left : left + 11]
          q = y[top : top + 11, left : left + 11]
          mean_p, mean_q = (window * p).sum(), (window * q).sum()
          p, q = p - mean_p, q - mean_q
          cross = 2 * (window * p * q).sum() + 0.03**2
          spread = (window * (p**2 + q**2)).sum() + 0.03**2
          light = (2 * mean_p * mean_q + 0.01**2) / (
            mean_p**2 + mean_q**2 + 0.01**2
          )
          values.append(light * cross / spread)
    expected.append(np.mean(values))
  np.testing.assert_allclose(image_metrics.ssim(a, b), expected, rtol=1e-10)


def test_equal_clips_have_ssim_one(pair):
  a, _ = pair
  # Cancellation in E[x^2] - E[x]^2 costs 1e-16 against c2 = 9e-4.
  np.testing.assert_allclose(image_metrics.ssim(a, a), 1.0, rtol=1e-12)


def test_ssim_of_frames_smaller_than_its_window_says_so():
  clip = np.zeros((1, 1, 10, 32, 3))
  with pytest.raises(ValueError, match=r"11 x 11 pixels.*10 x 32"):
    image_metrics.ssim(clip, clip)


def test_clips_outside_the_unit_range_are_refused(pair):
  a, b = pair
  with pytest.raises(ValueError, match=r"first clips.*divide uint8"):
    image_metrics.psnr(a * 255, b)
  with pytest.raises(ValueError, match="second clips"):
    image_metrics.psnr(a, np.full_like(b, np.nan))


def test_clips_of_different_shapes_are_refused(pair):
  a, b = pair
  with pytest.raises(ValueError, match=r"\(2, 3, 14, 13, 3\).*\(1, 3, 14"):
    image_metrics.psnr(a, b[:1])


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_dilation_sets_every_pixel_of_a_square_around_a_set_one(masks, radius):
  np.testing.assert_array_equal(
    image_metrics.dilate(masks, radius), _dilate_by_loops(masks, radius)
  )


def test_foreground_psnr_pools_the_error_of_all_foreground_pixels(masks):
  rng = np.random.default_rng(1)
  a, b = rng.uniform(size=(2, *masks.shape, 3))
  is_foreground = _dilate_by_loops(masks, 2)
  expected = []
  for n in range(2):
    errors = [
      (a[n, t, y, x, c] - b[n, t, y, x, c]) ** 2
      for t, y, x in np.argwhere(is_foreground[n])
      for c in range(3)
    ]
    expected.append(-10 * math.log10(math.fsum(errors) / len(errors)))
  np.testing.assert_allclose(
    image_metrics.foreground_psnr(a, b, masks), expected, rtol=1e-12
  )


def test_foreground_psnr_does_not_see_the_background(masks):
  a = np.full((*masks.shape, 3), 0.5)
  b = np.zeros_like(a)
  b[_dilate_by_loops(masks, 2)] = 0.6
  np.testing.assert_allclose(
    image_metrics.foreground_psnr(a, b, masks), 20.0, rtol=1e-12
  )


def test_a_clip_without_foreground_has_no_foreground_psnr(masks):
  masks[1] = False
  clips = np.zeros((*masks.shape, 3))
  scores = image_metrics.foreground_psnr(clips, clips, masks)
  np.testing.assert_array_equal(scores, [image_metrics.MAX_PSNR_DB, np.nan])


def test_masks_that_do_not_fit_the_clips_are_refused(masks):
  clips = np.zeros((*masks.shape, 3))
  with pytest.raises(ValueError, match="one mask a frame"):
    image_metrics.foreground_psnr(clips, clips, masks[:, :2])


def test_color_error_is_that_of_the_mean_over_the_object(masks):
  rng = np.random.default_rng(5)
  real = rng.uniform(size=(*masks.shape, 3)).astype(np.float32)
  shown = rng.uniform(size=real.shape).astype(np.float32)
  errors = image_metrics.object_color_error(shown, real, masks)
  for i, error in enumerate(errors):
    difference = (shown[i] - real[i])[masks[i]].astype(np.float64).mean(axis=0)
    assert error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
  # Another order of the object's pixels is the same colour.
  order = rng.permutation(int(masks[0].sum()))
  shuffled = real.copy()
  shuffled[0][masks[0]] = real[0][masks[0]][order]
  found = image_metrics.object_color_error(shuffled, real, masks)
  np.testing.assert_allclose(found, 0, atol=1e-6)
  nothing = image_metrics.object_color_error(shown, real, masks & False)
  assert np.isnan(nothing).all()


def test_background_only_shows_each_clips_background():
  colours = np.array([[0.0, 0.5, 1.0], [0.2, 0.3, 0.4]])
  clips = image_metrics.background_only(colours[:, None, None], (2, 3, 4, 5, 3))
  for n in range(2):
    np.testing.assert_array_equal(np.unique(clips[n, ..., 1]), colours[n, 1])
  images = np.random.default_rng(0).random((2, 4, 5, 3))
  clips = image_metrics.background_only(images, (2, 3, 4, 5, 3))
  for frame in range(3):
    np.testing.assert_array_equal(clips[:, frame], images)


def test_copy_last_repeats_the_last_given_frame(pair):
  a, _ = pair
  copied = image_metrics.copy_last(a, given_frames=2)
  np.testing.assert_array_equal(copied, a[:, [0, 1, 1]])
  np.testing.assert_array_equal(
    image_metrics.copy_first_frame(a), a[:, [0, 0, 0]]
  )


@pytest.mark.parametrize("given_frames", [0, 4])
def test_copy_last_needs_a_frame_to_copy(pair, given_frames):
  with pytest.raises(ValueError, match=f"given_frames={given_frames} .*1 to 3"):
    image_metrics.copy_last(pair[0], given_frames)


def test_a_cell_is_foreground_when_its_block_touches_the_dilated_mask(masks):
  cells = image_metrics.foreground_cells(masks, (2, 4, 3))
  expected = np.zeros((2, 2, 4, 3), bool)
  for n, t, y, x in np.argwhere(_dilate_by_loops(masks, 2)):
    expected[n, t // 2, y // 4, x // 4] = True
  np.testing.assert_array_equal(cells, expected)
  assert 0 < cells.sum() < cells.size


def test_cells_that_are_no_whole_blocks_are_refused(masks):
  with pytest.raises(ValueError, match=r"latent_shape=\(3, 4, 3\)"):
    image_metrics.foreground_cells(masks, (3, 4, 3))


def test_code_usage_counts_codes_and_their_perplexity():
  tokens = np.random.default_rng(2).zipf(1.5, size=(3, 4, 5)) % 11
  counts = collections.Counter(tokens.ravel().tolist())
  entropy = -sum(k / 60 * math.log(k / 60) for k in counts.values())
  usage = image_metrics.code_usage(tokens, codebook_size=16)
  assert usage["usage"] == len(counts) / 16
  assert usage["dead_codes"] == 16 - len(counts)
  assert usage["perplexity"] == pytest.approx(math.exp(entropy), rel=1e-12)


def test_perplexity_of_codes_used_equally_is_their_number():
  usage = image_metrics.code_usage(np.arange(12) % 4, codebook_size=4)
  assert usage == {
    "usage": 1.0,
    "perplexity": pytest.approx(4.0, rel=1e-12),
    "dead_codes": 0,
  }


def test_no_tokens_use_no_codes():
  usage = image_metrics.code_usage(np.zeros(0, np.int32), codebook_size=4)
  assert usage["usage"] == 0 and usage["dead_codes"] == 4
  assert math.isnan(usage["perplexity"])
  assert math.isnan(image_metrics.most_frequent_token_error(np.zeros(0, int)))


@pytest.mark.parametrize("token", [-1, 4])
def test_tokens_outside_the_codebook_are_refused(token):
  with pytest.raises(ValueError, match="ids 0 to 3"):
    image_metrics.code_usage(np.array([0, token]), codebook_size=4)


def test_guessing_the_most_frequent_token_errs_on_all_others():
  tokens = np.array([[5, 5, 1], [2, 5, 7]])
  assert image_metrics.most_frequent_token_error(tokens) == pytest.approx(0.5)
