"""Tests of the learning rate; upstream's numbers are in tests/parity."""

import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.config.training import OptimizerConfig
from magvit3d.training.learning_rate import applied_rate, warmup_cosine
from magvit3d.training.optimizers import make_adamw


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


@pytest.mark.parametrize("max_grad_norm", [None, 1e3])
def test_the_applied_rate_is_the_one_that_moves_the_parameters(max_grad_norm):
  """Against the same optimizer at rate 1, some of whose steps are left out."""
  fields = dict(
    beta1=0.9, beta2=0.96, weight_decay=0.1, max_grad_norm=max_grad_norm
  )
  schedule = warmup_cosine(0.5, 3, 10)
  params = {"kernel": jnp.array([1.0, -2.0])}
  optimizer = make_adamw(schedule, OptimizerConfig(**fields))
  plain = make_adamw(lambda _: 1.0, OptimizerConfig(**fields))
  state, plain_state = optimizer.init(params), plain.init(params)
  rates = []
  for step in range(6):
    if step == 2:
      continue  # Skipped: both states stay.
    grads = {"kernel": jnp.array([0.3 + step, -1.0])}
    rates.append(applied_rate(schedule, state))
    updates, state = optimizer.update(grads, state, params)
    ones, plain_state = plain.update(grads, plain_state, params)
    ratio = updates["kernel"] / ones["kernel"]
    np.testing.assert_allclose(ratio, rates[-1], rtol=1e-5)
  wanted = [schedule(count) for count in range(5)]
  np.testing.assert_allclose(rates, wanted, rtol=1e-6)
