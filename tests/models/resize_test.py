"""Tests of bilinear resizing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models.published.resize import resize_bilinear

# The weights are rounded to float32 once: 2**-24 each, two axes and four
# values below 1, plus the products' own rounding.
_TOLERANCE = 1e-6


def _by_gathering(frames, size, place_of):
  """Takes the two neighbours of each place, axis by axis, in float64."""
  frames = np.asarray(frames, np.float64)
  for axis, new_size in zip((-3, -2), size, strict=True):
    old_size = frames.shape[axis]
    places = np.array(
      [place_of(i, old_size, new_size) for i in range(new_size)]
    ).clip(0, old_size - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, old_size - 1)
    share = (places - below).reshape(-1, *[1] * (-axis - 1))
    frames = (1 - share) * np.take(frames, below, axis) + share * np.take(
      frames, above, axis
    )
  return frames


_PLACES = {
  "origin": lambda i, m, n: i * m / n,
  "half_pixel": lambda i, m, n: (i + 0.5) * m / n - 0.5,
  "corners": lambda i, m, n: i * (m - 1) / (n - 1) if n > 1 else 0,
}


@pytest.mark.parametrize("convention", _PLACES)
@pytest.mark.parametrize(
  "size", [(7, 12), (3, 20), (9, 4), (5, 8), (1, 1)], ids=str
)
def test_resizing_takes_each_places_neighbours(convention, size):
  frames = np.random.default_rng(0).random((2, 3, 5, 8, 3), np.float32)
  got = resize_bilinear(jnp.asarray(frames), size, convention)
  expected = _by_gathering(frames, size, _PLACES[convention])
  assert got.shape == (2, 3, *size, 3)
  np.testing.assert_allclose(got, expected, atol=_TOLERANCE)


@pytest.mark.parametrize("size", [(7, 12), (3, 5)], ids=str)
def test_half_pixel_is_jaxs_resize_without_antialiasing(size):
  frames = np.random.default_rng(0).random((2, 5, 8, 3), np.float32)
  got = resize_bilinear(jnp.asarray(frames), size, "half_pixel")
  expected = jax.image.resize(
    frames, (2, *size, 3), "bilinear", antialias=False, precision="highest"
  )
  np.testing.assert_allclose(got, expected, atol=_TOLERANCE)


@pytest.mark.parametrize("convention", _PLACES)
def test_same_size_changes_nothing(convention):
  frames = np.random.default_rng(0).random((5, 8, 3), np.float32)
  got = resize_bilinear(jnp.asarray(frames), (5, 8), convention)
  np.testing.assert_array_equal(got, frames)


def test_an_unknown_convention_is_an_error():
  with pytest.raises(ValueError, match="convention='centre' is unknown"):
    resize_bilinear(jnp.zeros((2, 2, 3)), (4, 4), "centre")
