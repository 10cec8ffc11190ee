"""Tests of AdamW and Muon as the configs describe them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from magvit3d.config.training import OptimizerConfig
from magvit3d.training.optimizers import make_adamw, make_optimizer

_FIELDS = dict(beta1=0.9, beta2=0.96, weight_decay=0.5, max_grad_norm=None)
_PARAMS = {
  "dense": {"kernel": jnp.full(2, 3.0), "bias": jnp.full(2, 3.0)},
  "embed": {"embedding": jnp.full(2, 3.0)},
  "norm": {"scale": jnp.full(2, 3.0)},
  "quantizer": {"codebook": jnp.full(2, 3.0)},
}


def _update(gradient, **fields):
  optimizer = make_adamw(
    lambda step: 0.1, OptimizerConfig(**(_FIELDS | fields))
  )
  grads = jax.tree.map(lambda p: jnp.full_like(p, gradient), _PARAMS)
  return optimizer.update(grads, optimizer.init(_PARAMS), _PARAMS)


def test_weight_decay_touches_kernels_only():
  updates, _ = _update(0.0)
  kernel = updates["dense"].pop("kernel")
  np.testing.assert_allclose(kernel, -0.1 * 0.5 * 3, rtol=1e-6)
  assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates))


def test_no_weight_decay_is_the_zero_of_the_config():
  updates, _ = _update(0.0, weight_decay=0.0)
  assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize(("limit", "scale"), [(None, 1.0), (2.0, 0.2)])
def test_gradients_are_clipped_to_a_global_norm(limit, scale):
  gradient = 10 / np.sqrt(10)  # Ten values: the norm is 10.
  _, state = _update(gradient, max_grad_norm=limit)
  moments = [
    leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    if "mu" in jax.tree_util.keystr(path)
  ]
  assert len(moments) == 5
  # The first moment after one step is (1 - beta1) times the gradient.
  for moment in moments:
    np.testing.assert_allclose(moment, 0.1 * scale * gradient, rtol=1e-5)


_MUON = _FIELDS | {
  "name": "muon",
  "muon_rate": 2.0,
  "muon_beta": 0.9,
  "weight_decay": 0.0,
}


def test_muon_moves_kernels_by_orthogonal_matrices_and_the_rest_by_adam():
  rng = np.random.default_rng(0)
  shapes = {
    "conv": {"kernel": (2, 3, 3, 2, 5), "bias": (5,)},  # 36 to 5.
    "query": {"kernel": (6, 2, 3)},  # 6 to 6.
    "out": {"kernel": (2, 3, 6)},
    "embed": {"embedding": (7, 6)},
  }
  params = jax.tree.map(
    lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
    shapes,
    is_leaf=lambda node: isinstance(node, tuple),
  )
  optimizer = make_optimizer(lambda step: 0.1, OptimizerConfig(**_MUON))
  updates, _ = optimizer.update(params, optimizer.init(params), params)
  for name, num_inputs in (("conv", 36), ("query", 6), ("out", 6)):
    matrix = np.asarray(updates[name]["kernel"]).reshape(num_inputs, -1)
    singular = np.linalg.svd(matrix, compute_uv=False)
    # Newton-Schulz leaves singular values between .7 and 1.2.
    assert np.all((singular > 0.2 * 0.6) & (singular < 0.2 * 1.3)), name
  adam = optax.adam(0.1, b1=0.9, b2=0.96, nesterov=True)
  plain, _ = adam.update(params, adam.init(params))
  for path in (("conv", "bias"), ("embed", "embedding")):
    np.testing.assert_allclose(
      updates[path[0]][path[1]], plain[path[0]][path[1]], rtol=1e-5
    )
