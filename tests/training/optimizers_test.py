"""Tests of AdamW and Muon as the configs describe them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

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


_SHAPES = {
  "conv": {"kernel": (2, 3, 3, 2, 5), "bias": (5,)},  # 36 to 5.
  "query": {"kernel": (6, 2, 3)},  # 6 to 6.
  "out": {"kernel": (2, 3, 6)},
  "mlp": {"kernel": (6, 11)},
  "embed": {"embedding": (7, 6)},
}


def _draw(rng):
  return jax.tree.map(
    lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
    _SHAPES,
    is_leaf=lambda node: isinstance(node, tuple),
  )


def test_muon_is_optax_with_the_same_state():
  """Of ill-conditioned gradients too; rounding is all that may differ."""
  axes = contrib.MuonDimensionNumbers
  numbers = {
    "conv": {"kernel": axes((0, 1, 2, 3), (4,)), "bias": None},
    "query": {"kernel": axes((0,), (1, 2))},
    "out": {"kernel": axes((0, 1), (2,))},
    "mlp": {"kernel": axes((0,), (1,))},
    "embed": {"embedding": None},
  }
  theirs = contrib.muon(
    lambda step: 0.2,
    beta=0.9,
    weight_decay=0.5,
    adam_b1=0.9,
    adam_b2=0.96,
    adam_learning_rate=lambda step: 0.1,
    muon_weight_dimension_numbers=numbers,
  )
  config = OptimizerConfig(**(_MUON | {"weight_decay": 0.5}))
  ours = make_optimizer(lambda step: 0.1, config)
  rng = np.random.default_rng(1)
  params = _draw(rng)
  states = [optimizer.init(params) for optimizer in (ours, theirs)]
  for step in range(4):
    gradients = _draw(rng)
    if step < 2:  # Of rank 1, so that all but one singular value are rounding.
      kernel = gradients["mlp"]["kernel"]
      gradients["mlp"]["kernel"] = kernel[:, :1] * kernel[:1]
    found = [
      optimizer.update(gradients, state, params)
      for optimizer, state in zip((ours, theirs), states, strict=True)
    ]
    states = [state for _, state in found]
    # Five steps grow a rounding error of a singular value by 3.4^5 = 485.
    chex.assert_trees_all_close(*(u for u, _ in found), rtol=0, atol=485 * 2e-7)
  chex.assert_trees_all_close(*states, rtol=1e-6)


def test_muon_moves_kernels_by_orthogonal_matrices_and_the_rest_by_adam():
  params = _draw(np.random.default_rng(0))
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
