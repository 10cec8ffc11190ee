"""Soft figures have their place and area in the pixels."""

import math

import numpy as np
import pytest

from data_gen.rendering import soft_figures

_SIZE = 32


def _centers(count=12):
  rng = np.random.default_rng(0)
  return rng.uniform(12, 19, (count, 2))


@pytest.mark.parametrize("shape", soft_figures.SHAPES)
@pytest.mark.parametrize("radius", [1.0, 2.3, 6.4])
def test_weighted_pixels_have_the_figures_centre_and_area(shape, radius):
  """Fine cells are 1/8 px: their edges hold 1/8 of a cell's share at most.

  A disc of radius r has an edge of 2 pi r px; of each fine cell there half is
  out of place by at most 1/16 px, and errors along the edge are of both signs.
  """
  centers = _centers()
  shares = soft_figures.cover(shape, centers, radius, _SIZE)
  area = shares.sum((1, 2))
  np.testing.assert_allclose(area, math.pi * radius**2, rtol=0.01)
  places = np.arange(_SIZE)
  found = np.stack(
    [(shares.sum(1) @ places) / area, (shares.sum(2) @ places) / area], -1
  )
  np.testing.assert_allclose(found, centers, atol=1 / 16 / 8)


def test_shares_are_whole_inside_and_none_outside():
  centers = _centers(3)
  shares = soft_figures.cover("circle", centers, 4.0, _SIZE)
  places = np.arange(_SIZE)
  distance = np.hypot(
    places - centers[:, :1, None], places[:, None] - centers[:, 1:, None]
  )
  # A tent reaches sqrt(2) px along the diagonal.
  assert shares[distance < 4 - 1.6] == pytest.approx(1.0, abs=1e-9)
  assert not shares[distance > 4 + 1.6].any()
  is_in = soft_figures.contains("circle", centers, 4.0, _SIZE)
  np.testing.assert_array_equal(is_in, distance <= 4)


def test_what_lies_beside_the_image_is_cut_off():
  wide = soft_figures.cover("circle", np.array([[20.0, 21.0]]), 5.0, 40)
  for shift in ((18, 0), (-10, -22), (0, 30)):
    center = np.array([[20.0 - shift[0], 21.0 - shift[1]]])
    cut = soft_figures.cover("circle", center, 5.0, 40)
    expected = np.zeros_like(wide[0])
    for row in range(40):
      for column in range(40):
        source = (row + shift[1], column + shift[0])
        if all(0 <= place < 40 for place in source):
          expected[row, column] = wide[0][source]
    np.testing.assert_allclose(cut[0], expected, atol=1e-9)
  far = soft_figures.cover("circle", np.array([[-90.0, 300.0]]), 5.0, 40)
  assert not far.any()
