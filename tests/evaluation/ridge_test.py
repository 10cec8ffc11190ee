"""Ridge regression is the minimiser it says, with the strength that is best."""

import numpy as np
import pytest

from magvit3d.evaluation.probing import ridge
from magvit3d.evaluation.probing.ridge import Ridge


def _data(rng, count, weights, noise):
  features = rng.normal(2.0, 1.0, (count, len(weights)))
  return features, features @ weights + 5 + rng.normal(
    0, noise, (count, weights.shape[1])
  )


@pytest.fixture
def problem():
  rng = np.random.default_rng(0)
  weights = rng.normal(size=(40, 2))
  return [_data(rng, count, weights, noise=1.0) for count in (30, 20, 10)]


def _primal(train, strength, features):
  """The normal equations, features by features."""
  x, y = train
  centred = x - x.mean(0)
  scale = np.mean(np.sum(centred**2, axis=1))
  gram = centred.T @ centred + strength * scale * np.eye(x.shape[1])
  weights = np.linalg.solve(gram, centred.T @ (y - y.mean(0)))
  return (features - x.mean(0)) @ weights + y.mean(0)


def test_answers_are_those_of_the_normal_equations(problem, monkeypatch):
  train, validation, test = problem
  monkeypatch.setattr(ridge, "_FEATURES_AT_A_TIME", 7)
  found = Ridge(*train, *validation)
  # Products of features are float32: 6e-8 of some hundreds, in sums of 40.
  np.testing.assert_allclose(
    found(test[0]), _primal(train, found.strength, test[0]), rtol=1e-3
  )


def test_the_strength_errs_least_on_validation(problem):
  train, validation, _ = problem
  errors = [
    np.mean((_primal(train, strength, validation[0]) - validation[1]) ** 2)
    for strength in ridge.STRENGTHS
  ]
  assert 0 < np.argmin(errors) < len(errors) - 1
  assert (
    Ridge(*train, *validation).strength
    == ridge.STRENGTHS[int(np.argmin(errors))]
  )


def test_shuffled_labels_give_chance():
  """Labels that features tell are told; the same, shuffled, are guessed."""
  rng = np.random.default_rng(0)
  labels = rng.integers(3, size=600)
  features = rng.normal(size=(600, 50)) + 2 * np.eye(50)[labels]

  def accuracy(labels):
    one_hot = np.eye(3)[labels]
    found = Ridge(
      features[:200], one_hot[:200], features[200:300], one_hot[200:300]
    )
    return np.mean(found(features[300:]).argmax(1) == labels[300:])

  assert accuracy(labels) > 0.8
  # Four standard deviations of 300 guesses among three.
  assert abs(accuracy(rng.permutation(labels)) - 1 / 3) < 4 * 0.0272


def test_features_that_do_not_vary_give_the_mean():
  targets = np.arange(8.0).reshape(4, 2)
  found = Ridge(np.ones((4, 3)), targets, np.ones((2, 3)), targets[:2])
  np.testing.assert_allclose(found(np.ones((1, 3))), [targets.mean(0)])
