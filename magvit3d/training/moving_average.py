"""A moving average of parameters, kept beside the optimizer's own state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree


class MovingAverageState(NamedTuple):
  """Attributes: `count`, updates so far, and `average`, of the parameters."""

  count: Array
  average: PyTree


def moving_average(decay: float) -> optax.GradientTransformation:
  """Keeps an average of the parameters; comes last in a chain.

  The decay after n updates is the smaller of `decay` and (1 + n) / (10 + n), so
  that first values are forgotten soon.
  """

  def init(params):
    return MovingAverageState(jnp.zeros((), jnp.int32), params)

  def update(updates, state, params=None):
    count = state.count + 1
    n = count.astype(jnp.float32)
    rate = jnp.minimum(decay, (1 + n) / (10 + n))
    new = optax.apply_updates(params, updates)
    average = jax.tree.map(
      lambda old, now: rate * old + (1 - rate) * now, state.average, new
    )
    return updates, MovingAverageState(count, average)

  return optax.GradientTransformation(init, update)


def averaged(opt_state: PyTree) -> PyTree:
  """Returns the averaged parameters of an optimizer with `moving_average`."""

  def is_average(node):
    return isinstance(node, MovingAverageState)

  nodes = jax.tree.leaves(opt_state, is_leaf=is_average)
  return next(node.average for node in nodes if is_average(node))
