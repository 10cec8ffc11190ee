"""Muon whose iterations are on small matrices.

Jordan et al., 2024, https://kellerjordan.github.io/posts/muon. Equal to
`optax.contrib.muon` up to the order of summation, and its state is the same. A
step of `:tiny`'s tokenizer spends a fourth of the time in it that it spends in
optax's, which multiplies whole kernels in each iteration.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree
from optax import contrib

# Of the Newton-Schulz iteration.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_NUM_STEPS = 5
_EPSILON = 1e-8


def muon(
  learning_rate: Callable,
  others: optax.GradientTransformation,
  *,
  beta: float,
  weight_decay: float,
  num_input_axes: Callable[[PyTree], PyTree],
) -> optax.GradientTransformation:
  """Moves matrices by their orthogonalised momentum.

  Args:
    learning_rate: Schedule `step -> rate` of matrices.
    others: Moves all else.
    beta: Of the momentum.
    weight_decay: Of matrices, times the rate.
    num_input_axes: Returns, for a tree of parameters, how many of each one's
      first axes are the rows of a matrix, or None where it is none.
  """

  def label(parameters):
    return jax.tree.map(
      lambda split: "adam" if split is None else "muon",
      num_input_axes(parameters),
      is_leaf=lambda split: split is None,
    )

  matrices = optax.chain(
    _scale_by_muon(beta, num_input_axes),
    optax.stateless(lambda updates, _: _each(_scaled, updates, num_input_axes)),
    optax.add_decayed_weights(weight_decay),
    optax.scale_by_learning_rate(learning_rate),
  )
  return optax.partition({"muon": matrices, "adam": others}, label)


def orthogonalize(matrix: Float[Array, "m n"]) -> Float[Array, "m n"]:
  """Moves all singular values towards 1, by five Newton-Schulz steps.

  Each step multiplies the matrix X by a I + b G + c G^2, where G is its Gram
  matrix. So it multiplies G by the square of that, and the product of all five
  factors is found from G alone, whose sides are X's shorter one. Rounding may
  make an eigenvalue of G negative, which grows twelvefold a step: harmless in
  float32 (below 2e-3 after all), not in less.
  """
  m, n = matrix.shape
  a, b, c = _COEFFICIENTS
  product = functools.partial(jnp.matmul, precision="highest")
  x = matrix / (jnp.linalg.norm(matrix) + _EPSILON)
  gram = product(x.T, x) if m >= n else product(x, x.T)
  identity = total = jnp.eye(len(gram), dtype=x.dtype)
  for step in range(_NUM_STEPS):
    square = product(gram, gram)
    factor = a * identity + b * gram + c * square
    total = factor if step == 0 else product(total, factor)
    if step < _NUM_STEPS - 1:
      gram = product(a * gram + b * square + c * product(gram, square), factor)
  return product(x, total) if m >= n else product(total, x)


def _scale_by_muon(beta, num_input_axes):
  """`optax.contrib.scale_by_muon`, with Nesterov's momentum."""

  def update(updates, state, _):
    mu = optax.tree.update_moment(updates, state.mu, beta, 1)
    count = optax.safe_increment(state.count)
    ahead = jax.tree.map(
      lambda moment, update: beta * moment + (1 - beta) * update,
      optax.tree.bias_correction(mu, beta, optax.safe_increment(count)),
      optax.tree.bias_correction(updates, beta, count),
    )

    def moved(update, split):
      return orthogonalize(_matrix(update, split)).reshape(update.shape)

    moves = _each(moved, ahead, num_input_axes)
    return moves, contrib.MuonState(count, mu, state.ns_coeffs)

  init = contrib.scale_by_muon(_COEFFICIENTS, beta=beta).init
  return optax.GradientTransformation(init, update)


def _each(function, updates, num_input_axes):
  return jax.tree.map(function, updates, num_input_axes(updates))


def _matrix(update, split):
  return update.reshape(-1, math.prod(update.shape[split:]))


def _scaled(update, split):
  rows, columns = _matrix(update, split).shape
  return max(1.0, columns / rows) ** 0.5 * update
