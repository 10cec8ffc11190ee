"""Square frames and their intrinsics, against ramps and a plain filter."""

import numpy as np
import pytest
from PIL import Image

from data_gen.footage.squares import Square

SHAPES = [(200, 120), (120, 200), (151, 90), (90, 151), (96, 96)]
FITS = ["crop", "pad"]


@pytest.mark.parametrize("size", [24, 60, 288])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("width, height", SHAPES)
def test_pixels_are_where_the_intrinsics_say(width, height, fit, size):
  """A ramp whose value is its place is read at each pixel of the square."""
  square = Square(width, height, size, fit)
  y, x = np.mgrid[:height, :width].astype(np.uint8)
  ramp = np.stack([x, y, x], axis=-1)
  up = square.frame(Image.fromarray(ramp)).astype(float)
  down = square.frame(Image.fromarray(255 - ramp)).astype(float)
  frame = (up + 255 - down) / 2  # Halves are rounded up in both.
  # With K of the camera the identity, K of the square maps its pixels.
  matrix = square.intrinsics(np.eye(3))
  found_x = (np.arange(size) - matrix[0, 2]) / matrix[0, 0]
  found_y = (np.arange(size) - matrix[1, 2]) / matrix[1, 1]
  # Away from the edges, where the filter sees less than its width.
  margin = max(1.0, 1 / matrix[0, 0]) + 1
  inside_x = (found_x > margin) & (found_x < width - 1 - margin)
  inside_y = (found_y > margin) & (found_y < height - 1 - margin)
  assert inside_x.sum() > 8 and inside_y.sum() > 8
  inside = np.ix_(inside_y, inside_x)
  grid_x, grid_y = np.meshgrid(found_x, found_y)
  # Pillow rounds after each of its two passes, and its 8-bit weights are
  # rounded as well.
  for channel, grid in ((0, grid_x), (1, grid_y)):
    error = frame[..., channel][inside] - grid[inside]
    assert np.abs(error).max() <= 1.01
    assert np.abs(error.mean()) < 0.05


def _triangle(values, scale, axis):
  """Shrinks an axis by a whole factor: triangles two new pixels wide."""
  values = np.moveaxis(values.astype(float), axis, 0)
  count = len(values)
  rows = []
  for i in range(count // scale):
    distance = np.abs(np.arange(count) + 0.5 - (i + 0.5) * scale) / scale
    weights = np.maximum(0, 1 - distance)
    rows.append(np.tensordot(weights / weights.sum(), values, 1))
  return np.moveaxis(np.stack(rows), 0, axis)


@pytest.mark.parametrize("fit", FITS)
def test_frames_are_resized_squares(fit):
  """Against the filter written out; each of two passes rounds."""
  image = np.random.default_rng(0).integers(0, 256, (36, 60, 3), np.uint8)
  if fit == "pad":
    expected = _triangle(np.pad(image, ((12, 12), (0, 0), (0, 0))), 3, 1)
  else:  # At its edges the square sees what is beside it.
    expected = _triangle(image, 3, 1)[:, 4:16]
  expected = _triangle(expected, 3, 0)
  frame = Square(60, 36, len(expected), fit).frame(Image.fromarray(image))
  assert np.abs(frame - expected).max() <= 1.01


@pytest.mark.parametrize("fit", FITS)
def test_frames_that_fit_stay_as_they_are(fit):
  image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
  square = Square(32, 32, 32, fit)
  np.testing.assert_array_equal(square.frame(Image.fromarray(image)), image)
  np.testing.assert_array_equal(square.intrinsics(np.eye(3)), np.eye(3))


def test_masks_are_where_half_a_pixel_is_covered():
  is_object = np.zeros((30, 30), bool)
  is_object[3:6, 0:12] = True  # All of pixels (1, 0) to (1, 3).
  is_object[12:14, 6:9] = True  # Two thirds of pixel (4, 2).
  is_object[21:22, 6:9] = True  # A third of pixel (7, 2).
  mask, is_touched = Square(30, 30, 10, "crop").mask(is_object)
  assert set(zip(*np.nonzero(mask), strict=True)) == {
    (1, 0), (1, 1), (1, 2), (1, 3), (4, 2),
  }  # fmt: skip
  assert is_touched[7, 2] and np.all(is_touched[mask])


def test_what_a_mask_does_not_touch_shows_nothing_of_the_object():
  """An object in an image of another colour, scaled like the mask."""
  rng = np.random.default_rng(1)
  is_object = rng.random((45, 70)) < 0.01
  image = np.where(is_object[..., None], np.uint8(255), np.uint8(0))
  for fit in FITS:
    square = Square(70, 45, 20, fit)
    _, is_touched = square.mask(is_object)
    frame = square.frame(Image.fromarray(np.repeat(image, 3, axis=-1)))
    assert is_touched.any() and not is_touched.all()
    assert not frame[~is_touched].any()
