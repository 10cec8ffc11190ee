"""The moving average of parameters follows its law."""

import jax.numpy as jnp
import numpy as np
import optax

from magvit3d.training.moving_average import averaged, moving_average


def test_average_follows_the_law_step_by_step():
  optimizer = optax.chain(optax.sgd(0.5), moving_average(0.2))
  params = {"w": jnp.array([1.0, -2.0])}
  state = optimizer.init(params)
  np.testing.assert_array_equal(averaged(state)["w"], params["w"])
  wanted = np.array([1.0, -2.0])
  for n in (1, 2, 3):
    gradients = {"w": jnp.array([0.1, 0.4])}
    updates, state = optimizer.update(gradients, state, params)
    params = optax.apply_updates(params, updates)
    rate = min(0.2, (1 + n) / (10 + n))
    wanted = rate * wanted + (1 - rate) * np.asarray(params["w"])
    # Two roundings of float32 a step.
    np.testing.assert_allclose(averaged(state)["w"], wanted, rtol=1e-6)
  assert rate == 0.2  # Both laws were met.
