"""The object is found where it is, also in frames that are blurred or noisy."""

import numpy as np
import pytest
from scipy import ndimage

from data_gen.rendering import colors
from magvit3d.evaluation.metres import object_finding
from magvit3d.evaluation.metres.object_finding import find_object

_SIZE = 48
_BLACK = np.zeros((1, 1, 1, 3), np.float32)
_GREY = np.full((1, 1, 1, 3), 0.5, np.float32)
# Rounding to 8 bits moves the coverage of a rim pixel by 1/2 in a contrast of
# 40 levels at worst; of about 50 rim pixels 8 px from the middle of 250, with
# random signs: sqrt(50) * (0.5 / 40 / 2) * 8 / 250 = 0.002 px.
_EXACT_PX = 0.01


def _disc(x, y, radius, oversampling=16):
  """Share of each pixel that a disc covers, (_SIZE, _SIZE)."""
  steps = (np.arange(_SIZE * oversampling) + 0.5) / oversampling - 0.5
  is_in = (steps - x) ** 2 + (steps[:, None] - y) ** 2 <= radius**2
  return is_in.reshape(_SIZE, oversampling, _SIZE, -1).mean((1, 3))


def _paint(*layers, background=0.0):
  """Frames (1, 1, h, w, 3) of coverage and colour, one over the other."""
  image = np.full((_SIZE, _SIZE, 3), background, float)
  for coverage, color in layers:
    image += coverage[..., None] * (np.array(color) - image)
  return np.rint(image * 255).astype(np.uint8)[None, None]


@pytest.mark.parametrize("center", [(20.0, 25.0), (17.3, 30.8), (30.55, 9.1)])
@pytest.mark.parametrize("color", [(1, 1, 1), (0.5, 0.5, 0.7), (0, 0.3, 0.5)])
def test_centroid_of_a_disc_is_its_centre_to_a_hundredth_of_a_pixel(
  center, color
):
  frames = _paint((_disc(*center, 9), color), background=0.5)
  found = find_object(frames, _GREY)
  assert found.is_found.all()
  np.testing.assert_allclose(found.centroids[0, 0], center, atol=_EXACT_PX)


def test_shading_does_not_move_the_centroid():
  """A bright half next to a dark one; by brightness it would be 1.6 px off."""
  disc, halves = _disc(24, 24, 9), np.arange(_SIZE) < 24
  shade = np.where(halves, 1.0, 0.4)[None, :, None]
  image = disc[..., None] * shade * np.array([1, 0.8, 0.6])
  frames = np.rint(image * 255).astype(np.uint8)[None, None]
  found = find_object(frames, _BLACK)
  # Rim pixels where both halves meet: two, off by half a pixel's area at most.
  np.testing.assert_allclose(found.centroids[0, 0], [24, 24], atol=0.08)


def test_silhouette_is_what_is_covered_by_half():
  disc = _disc(21.4, 23.7, 8)
  found = find_object(_paint((disc, (1, 0.5, 0))), _BLACK)
  is_clear = np.abs(disc - 0.5) > 1 / 255
  np.testing.assert_array_equal(
    found.silhouettes[0, 0][is_clear], (disc >= 0.5)[is_clear]
  )


def test_blur_does_not_move_the_centroid_and_noise_hardly():
  rng = np.random.default_rng(0)
  disc = _disc(20.3, 27.6, 8)
  sharp = _paint((disc, (0.9, 0.6, 0.3)))[0, 0].astype(float)
  blurred = ndimage.gaussian_filter(sharp, (1.5, 1.5, 0))
  found = find_object(np.rint(blurred).astype(np.uint8)[None, None], _BLACK)
  np.testing.assert_allclose(found.centroids[0, 0], [20.3, 27.6], atol=0.05)
  noisy = blurred + rng.normal(0, 6, (20, *blurred.shape))
  frames = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[None]
  found = find_object(frames, _BLACK)
  assert found.is_found.all()
  np.testing.assert_allclose(
    found.centroids[0], np.tile([20.3, 27.6], (20, 1)), atol=0.25
  )


def test_what_stands_out_counts_not_a_larger_faint_remain_of_it():
  solid = (_disc(12, 12, 5), (1, 1, 1))
  remain = (_disc(34, 30, 9), (0.12, 0.12, 0.12))
  found = find_object(_paint(remain, solid), _BLACK)
  np.testing.assert_allclose(found.centroids[0, 0], [12, 12], atol=_EXACT_PX)
  assert not found.silhouettes[0, 0, 30, 34]


def test_nothing_is_found_where_there_is_nothing():
  rng = np.random.default_rng(0)
  empty = _paint()
  speck = empty.copy()
  speck[0, 0, 10, 10:14] = 255  # Four pixels.
  noise = np.clip(rng.normal(0, 5, (1, 30, _SIZE, _SIZE, 3)), 0, 255)
  for frames in (empty, speck, noise.astype(np.uint8)):
    found = find_object(frames, _BLACK)
    assert not found.is_found.any()
    assert not found.silhouettes.any()
    assert np.isnan(found.centroids).all()
  speck[0, 0, 10, 14] = 255
  assert find_object(speck, _BLACK).is_found.all()


def test_what_is_all_over_the_image_is_no_object():
  """Its centroid is the middle of the image: a fair guess, but not seen."""
  rng = np.random.default_rng(0)
  white = np.full((1, 1, _SIZE, _SIZE, 3), 255, np.uint8)
  noise = rng.integers(0, 256, white.shape).astype(np.uint8)
  for frames in (white, noise):
    assert not find_object(frames, _BLACK).is_found.any()
  white[:, :, 0] = 0  # A large object may touch three edges.
  assert find_object(white, _BLACK).is_found.all()


def test_threshold_rises_with_noise_so_that_the_object_stays_alone():
  rng = np.random.default_rng(0)
  frame = _paint((_disc(20, 20, 8), (1, 1, 1)), background=0.5)[0, 0]
  noisy = frame + rng.normal(0, 12, (10, *frame.shape))
  frames = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[None]
  found = find_object(frames, _GREY)
  np.testing.assert_allclose(
    found.centroids[0], np.full((10, 2), 20), atol=0.25
  )


def test_each_frame_and_view_is_looked_at_alone():
  """Objects at the same place in successive frames are no single piece."""
  places = np.array([[[10.0, 10], [12, 12]], [[30, 30], [0, 0]]])
  frames = np.zeros((2, 2, _SIZE, _SIZE, 3), np.uint8)
  for view, time in ((0, 0), (0, 1), (1, 0)):
    disc = _disc(*places[view, time], 6)
    frames[view, time] = _paint((disc, (1, 1, 1)))[0, 0]
  found = find_object(frames, np.repeat(_BLACK, 2, axis=0))
  np.testing.assert_array_equal(found.is_found, [[True, True], [True, False]])
  np.testing.assert_allclose(
    found.centroids[found.is_found], places[found.is_found], atol=_EXACT_PX
  )


def test_pixels_at_the_edge_of_the_image_count_fully():
  frames = np.zeros((1, 1, _SIZE, _SIZE, 3), np.uint8)
  frames[0, 0, 10:20, :8] = 200
  found = find_object(frames, _BLACK)
  np.testing.assert_allclose(found.centroids[0, 0], [3.5, 14.5], atol=1e-6)


def test_shadows_on_a_picture_are_no_object():
  rng = np.random.default_rng(0)
  picture = rng.uniform(0.2, 0.4, (1, _SIZE, _SIZE, 3)).astype(np.float32)
  image = picture[0].copy()
  image[25:45, 20:45] *= 0.5
  image[8:18, 6:20] = [0.9, 0.2, 0.1]
  frames = np.rint(image * 255).astype(np.uint8)[None, None]
  found = find_object(frames, picture)
  np.testing.assert_allclose(found.centroids[0, 0], [12.5, 12.5], atol=0.05)


def test_least_contrast_of_rendered_objects_is_twice_the_threshold():
  least = colors.MIN_CONTRAST
  assert least >= 2 * object_finding.MIN_DIFFERENCE
