"""Tests of the learning rate; upstream's numbers are in tests/parity."""

import numpy as np
import pytest

from magvit3d.training.learning_rate import warmup_cosine


def test_rate_rises_linearly_then_falls_by_a_half_cosine():
  schedule = warmup_cosine(2.0, 10, 110)
  np.testing.assert_allclose([schedule(s) for s in (0, 5, 10)], [0, 1, 2])
  middle, late = float(schedule(60)), float(schedule(109))
  np.testing.assert_allclose(middle, 1.0, atol=1e-6)
  np.testing.assert_allclose(late, 1 + np.cos(np.pi * 0.99), atol=1e-6)


def test_rate_starts_at_the_peak_without_warmup():
  assert warmup_cosine(2.0, 0, 10)(0) == 2.0


def test_a_warmup_as_long_as_the_run_is_refused():
  with pytest.raises(ValueError, match=r"warmup_steps=10 leaves nothing of"):
    warmup_cosine(1.0, 10, 10)
