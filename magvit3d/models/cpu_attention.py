"""Attention on one CPU device, head after head, in little memory.

Weights of all heads and clips together are much of what a step needs. The
backward pass computes them anew, as in FlashAttention
(https://arxiv.org/abs/2205.14135): only a sum for each query is kept.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Weights of a head, below which a loop over heads is slower.
_FEW_WEIGHTS = 2**14


def suits(num_queries: int, num_keys: int) -> bool:
  """Returns whether to loop; not over several devices, which share."""
  return jax.device_count() == 1 and num_queries * num_keys >= _FEW_WEIGHTS


def attend(
  query: Float[Array, "b n h d"],
  key: Float[Array, "b m h d"],
  value: Float[Array, "b m h d"],
  is_causal: bool,
) -> Float[Array, "b n h d"]:
  """Attention, its softmax in float32.

  Args:
    query: One for each result and head.
    key: One for each value and head.
    value: Of the same type as queries and keys, as is the result.
    is_causal: Whether a query sees no keys that come after it.
  """
  b, _, h, d = query.shape
  one_by_one = (
    array.swapaxes(1, 2).reshape(b * h, -1, d) for array in (query, key, value)
  )
  attended = _attend(*one_by_one, is_causal)
  return attended.reshape(b, h, -1, d).swapaxes(1, 2)


def _scores(query, key, is_causal):
  """How queries (n, d) match keys (m, d), in float32."""
  scores = _product("nd,md->nm", query, key) * query.shape[-1] ** -0.5
  if is_causal:
    lowest = jnp.finfo(scores.dtype).min
    scores = jnp.where(jnp.tri(*scores.shape, dtype=bool), scores, lowest)
  return scores


def _product(axes, a, b):
  return jnp.einsum(axes, a, b, preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(query, key, value, is_causal):
  return _forward(query, key, value, is_causal)[0]


def _forward(query, key, value, is_causal):
  def one(arrays):
    query, key, value = arrays
    scores = _scores(query, key, is_causal)
    largest = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - largest)
    total = weights.sum(axis=-1, keepdims=True)
    means = _product("nm,md->nd", weights.astype(value.dtype), value) / total
    return means.astype(value.dtype), largest + jnp.log(total)

  out, log_sums = lax.map(one, (query, key, value))
  return out, (query, key, value, out, log_sums)


def _backward(is_causal, saved, gradient):
  def one(arrays):
    query, key, value, out, log_sum, gradient = arrays
    weights = jnp.exp(_scores(query, key, is_causal) - log_sum)
    to_value = _product("nm,nd->md", weights.astype(value.dtype), gradient)
    mean = jnp.sum((gradient * out).astype(jnp.float32), -1, keepdims=True)
    to_scores = weights * (_product("nd,md->nm", gradient, value) - mean)
    to_scores = (to_scores * query.shape[-1] ** -0.5).astype(query.dtype)
    to_query = _product("nm,md->nd", to_scores, key)
    to_key = _product("nm,nd->md", to_scores, query)
    return tuple(x.astype(query.dtype) for x in (to_query, to_key, to_value))

  return lax.map(one, (*saved, gradient))


_attend.defvjp(_forward, _backward)
