"""Tests of benchmarks/gpu/transposed.py."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.gpu import transposed


def test_values_and_gradients_are_those_of_lax():
  rng = np.random.default_rng(0)
  clips = jnp.asarray(rng.standard_normal((2, 2, 3, 4, 5)), jnp.float32)
  kernel = jnp.asarray(rng.standard_normal((4, 4, 4, 5, 6)), jnp.float32)
  gradient = jnp.asarray(rng.standard_normal((2, 4, 6, 8, 6)), jnp.float32)

  def plain(kernel, clips):
    return lax.conv_transpose(clips, kernel, (2, 2, 2), "SAME")

  wanted, pull_wanted = jax.vjp(plain, kernel, clips)
  found, pull_found = jax.vjp(transposed.conv_transpose, kernel, clips)
  np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)
  for a, b in zip(pull_found(gradient), pull_wanted(gradient), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
