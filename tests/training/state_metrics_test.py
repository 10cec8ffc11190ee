"""Tests of what steps tell of their state."""

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from magvit3d.training import state_metrics


@flax.struct.dataclass
class _State:
  step: PyTree
  params: PyTree
  d_params: PyTree
  opt_state: PyTree


def test_each_tree_of_parameters_has_its_global_norm():
  state = _State(
    step=jnp.asarray(7),
    params={"a": jnp.array([3.0]), "b": {"c": jnp.array([[4.0, 12.0]])}},
    d_params=[jnp.full(4, -2.0)],
    opt_state=jnp.ones(3),
  )
  norms = state_metrics.parameter_norms(state)
  assert set(norms) == {"param_norm", "d_param_norm"}
  np.testing.assert_allclose(norms["param_norm"], 13.0, rtol=1e-6)
  np.testing.assert_allclose(norms["d_param_norm"], 4.0, rtol=1e-6)


def test_codes_in_use_and_dead_ones():
  counts = jnp.array([0, 5, 0, 1, 900, 0, 0, 0])
  assert state_metrics.code_usage(counts) == 3 / 8
  assert state_metrics.num_dead_codes(counts) == 5
