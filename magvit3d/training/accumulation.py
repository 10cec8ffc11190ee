"""Gradient accumulation: a batch in parts, one after the other.

Peak memory is that of a part; the result is the mean over the parts, which for
a loss that is a mean over clips is the loss of the whole batch.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree


def mean_over_parts(
  function: Callable[[Mapping[str, Array], Int[Array, ""]], tuple],
  batch: Mapping[str, Array],
  num_parts: int,
) -> tuple[PyTree, PyTree]:
  """Applies a function to a batch, part by part.

  Args:
    function: Takes `(part, number)`; `part` has (b / num_parts, ...) rows of
      each array and `number` is in [0, num_parts). Returns `(values, rows)`.
    batch: Arrays (b, ...).
    num_parts: Divides b. 1 calls the function once.

  Returns:
    values: Mean over the parts.
    rows: Those of all parts, (b, ...); in another order than the batch.
  """
  if num_parts == 1:
    return function(batch, jnp.zeros((), jnp.int32))

  def split(array):
    # Every num_parts-th row: each device then has rows of every part.
    rows = array.reshape(-1, num_parts, *array.shape[1:])
    return jnp.moveaxis(rows, 1, 0)

  def add(total, numbered):
    number, part = numbered
    values, rows = function(part, number)
    return jax.tree.map(jnp.add, total, values), rows

  parts = jax.tree.map(split, dict(batch))
  first = jax.tree.map(lambda rows: rows[0], parts)
  shapes, _ = jax.eval_shape(function, first, jnp.zeros((), jnp.int32))
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  total, rows = jax.lax.scan(add, zeros, (jnp.arange(num_parts), parts))
  return (
    jax.tree.map(lambda leaf: leaf / num_parts, total),
    jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows),
  )
