"""Tests of the Frechet distance against closed forms and a matrix root."""

import numpy as np
import pytest
import scipy.linalg

from magvit3d.evaluation.published.frechet_distance import frechet_distance


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def _with_moments(rng, count, mean, covariance):
  """Rows whose mean and covariance (n - 1) are exactly those given."""
  rows = rng.standard_normal((count, len(mean)))
  rows -= rows.mean(axis=0)
  whitened = (
    rows @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(rows.T)))).T
  )
  return mean + whitened @ np.linalg.cholesky(covariance).T


def test_one_feature_gives_the_closed_form(rng):
  a = _with_moments(rng, 50, np.array([3.0]), np.array([[4.0]]))
  b = _with_moments(rng, 30, np.array([-1.0]), np.array([[0.25]]))
  # (3 + 1)^2 + (2 - 1/2)^2
  assert frechet_distance(a, b).value == pytest.approx(18.25, rel=1e-12)


def test_commuting_covariances_give_the_closed_form(rng):
  width = 6
  basis, _ = np.linalg.qr(rng.standard_normal((width, width)))
  scales = rng.uniform(0.1, 3, (2, width))
  means = rng.standard_normal((2, width))
  a, b = (
    _with_moments(rng, 40, mean, basis @ np.diag(scale**2) @ basis.T)
    for mean, scale in zip(means, scales, strict=True)
  )
  expected = np.sum((means[0] - means[1]) ** 2)
  expected += np.sum((scales[0] - scales[1]) ** 2)
  assert frechet_distance(a, b).value == pytest.approx(expected, rel=1e-10)


def _by_matrix_root(a, b):
  covariances = [np.cov(rows.T) for rows in (a, b)]
  root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
  shift = a.mean(0) - b.mean(0)
  return shift @ shift + np.trace(sum(covariances) - 2 * root.real)


def test_other_covariances_agree_with_a_matrix_root(rng):
  a = rng.standard_normal((60, 8)) @ rng.standard_normal((8, 8))
  b = rng.standard_normal((45, 8)) @ rng.standard_normal((8, 8)) + 1
  found = frechet_distance(a, b)
  assert found.value == pytest.approx(_by_matrix_root(a, b), rel=1e-10)
  assert (found.num_real, found.num_generated, found.width) == (60, 45, 8)
  assert found.note == ""


@pytest.mark.parametrize("counts", [(5, 7), (5, 30), (30, 5)], ids=str)
def test_fewer_samples_than_features_agree_with_eigenvalues(rng, counts):
  """A root of the product does not exist there, its eigenvalues do."""
  width = 12
  a, b = (rng.standard_normal((count, width)) for count in counts)
  covariances = [np.cov(rows.T) for rows in (a, b)]
  values = np.linalg.eigvals(covariances[0] @ covariances[1]).real
  expected = np.sum((a.mean(0) - b.mean(0)) ** 2)
  expected += np.trace(sum(covariances))
  expected -= 2 * np.sum(np.sqrt(np.maximum(values, 0)))
  found = frechet_distance(a, b)
  # The root of an eigenvalue 0 that is rounded to 1e-16 is 1e-8.
  assert found.value == pytest.approx(expected, abs=1e-6)
  assert "5 samples do not determine" in found.note and "12" in found.note


def test_turning_and_shifting_both_sets_changes_nothing(rng):
  a = rng.standard_normal((9, 12)) * 3
  b = rng.standard_normal((40, 12)) + 0.5
  turn, _ = np.linalg.qr(rng.standard_normal((12, 12)))
  before = frechet_distance(a, b).value
  after = frechet_distance(a @ turn + 5, b @ turn + 5).value
  assert after == pytest.approx(before, rel=1e-10)
  assert frechet_distance(b, a).value == pytest.approx(before, rel=1e-10)


@pytest.mark.parametrize("count", [4, 40])
def test_equal_sets_are_at_distance_zero(rng, count):
  rows = 100 + rng.standard_normal((count, 10)).astype(np.float32)
  found = frechet_distance(rows, rows[::-1].copy()).value
  # Of a trace of 10, to the rounding of float64.
  assert 0 <= found < 1e-12


def test_a_constant_set_is_at_the_distance_of_its_point(rng):
  a = _with_moments(rng, 20, np.zeros(3), np.diag([1.0, 4.0, 9.0]))
  b = np.tile([1.0, 2.0, 2.0], (5, 1))
  assert frechet_distance(a, b).value == pytest.approx(14 + 9, rel=1e-12)


def test_float32_features_are_summed_in_float64(rng):
  """A large common offset loses nothing."""
  small = rng.integers(-8, 8, (2, 30, 4)).astype(np.float32)
  moved = small + np.float32(2**20)  # Exact.
  expected = frechet_distance(*small).value
  assert frechet_distance(*moved).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
  ("real", "generated", "message"),
  [
    (np.zeros((1, 3)), np.zeros((4, 3)), "real set has 1 samples"),
    (np.zeros((4, 3)), np.zeros((0, 3)), "generated set has 0 samples"),
    (np.zeros((4, 3)), np.full((4, 3), np.nan), "generated set .*not finite"),
  ],
)
def test_sets_without_a_covariance_are_an_error(real, generated, message):
  with pytest.raises(ValueError, match=message):
    frechet_distance(real, generated)
