"""Tests of AdamW as the configs describe it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.training.optimizers import make_adamw

_FIELDS = dict(beta1=0.9, beta2=0.96, weight_decay=0.5, max_grad_norm=None)
_PARAMS = {
  "dense": {"kernel": jnp.full(2, 3.0), "bias": jnp.full(2, 3.0)},
  "embed": {"embedding": jnp.full(2, 3.0)},
  "norm": {"scale": jnp.full(2, 3.0)},
  "quantizer": {"codebook": jnp.full(2, 3.0)},
}


def _update(gradient, **fields):
  optimizer = make_adamw(lambda step: 0.1, _FIELDS | fields)
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
