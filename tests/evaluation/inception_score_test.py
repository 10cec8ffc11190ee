"""Tests of the inception score against closed forms."""

import numpy as np
import pytest
from scipy import stats

from magvit3d.evaluation.published.inception_score import inception_score


def _sure_of(classes, num_classes, gap=1000.0):
  """Logits of which the others' probabilities are 0 in float64."""
  return gap * np.eye(num_classes)[classes]


def test_equal_clips_score_one():
  logits = np.tile(np.random.default_rng(0).standard_normal(7), (5, 1))
  assert inception_score(logits).mean == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("num_classes", [2, 5, 101])
def test_sure_clips_of_all_classes_score_their_number(num_classes):
  logits = _sure_of(np.arange(3 * num_classes) % num_classes, num_classes)
  found = inception_score(logits)
  assert found.mean == pytest.approx(num_classes, rel=1e-12)
  assert found.num_samples == 3 * num_classes and found.std is None


def test_sure_clips_score_the_perplexity_of_their_classes():
  found = inception_score(_sure_of([0, 0, 0, 1, 2, 2], 4))
  expected = np.exp(stats.entropy([3, 1, 2]))
  assert found.mean == pytest.approx(expected, rel=1e-12)


def test_unsure_clips_score_the_mean_divergence():
  rng = np.random.default_rng(1)
  logits = rng.standard_normal((40, 6))
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  divergences = [stats.entropy(row, p.mean(0)) for row in p]
  found = inception_score(logits.astype(np.float32))
  # Logits are rounded to float32.
  assert found.mean == pytest.approx(np.exp(np.mean(divergences)), rel=1e-6)
  shifted = inception_score(logits + 1e6 * rng.standard_normal((40, 1)))
  assert shifted.mean == pytest.approx(found.mean, rel=1e-6)


def test_parts_take_turns_and_have_marginals_of_their_own():
  # Even samples: classes 0 and 1; odd ones: 0 to 3.
  even, odd = np.arange(8) % 2, np.arange(8) % 4
  found = inception_score(_sure_of(np.stack([even, odd], 1).ravel(), 4), 2)
  assert found.mean == pytest.approx(3, rel=1e-12)
  assert found.std == pytest.approx(1, rel=1e-12)
  assert found.num_samples == 16 and found.num_parts == 2


@pytest.mark.parametrize("num_parts", [0, 4])
def test_a_part_without_samples_is_an_error(num_parts):
  with pytest.raises(ValueError, match=f"3 samples .* {num_parts} parts"):
    inception_score(np.zeros((3, 2)), num_parts)


def test_broken_logits_are_an_error():
  with pytest.raises(ValueError, match="not finite"):
    inception_score(np.array([[0.0, np.inf]]))
