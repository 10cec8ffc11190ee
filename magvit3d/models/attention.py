"""Attention, its softmax in float32 whatever type queries and keys have."""

import functools
import logging

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from magvit3d.models import target

# Of `jax.nn.dot_product_attention`, but for 'heads_first', which is ours.
# 'cudnn' needs a GPU and bfloat16, and memory that grows with the sequence, not
# with its square. None is 'heads_first' on CPUs, 'cudnn' where that can be had,
# else 'xla'.
IMPLEMENTATIONS = (None, "xla", "cudnn", "heads_first")
_log = logging.getLogger(__name__)


def attend(
  query: Float[Array, "b n h d"],
  key: Float[Array, "b m h d"],
  value: Float[Array, "b m h d"],
  *,
  mask: Bool[Array, "_ _ n m"] | None = None,
  bias: Float[Array, "_ h n m"] | None = None,
  is_causal: bool = False,
  dropout_rate: float = 0.0,
  dropout_rng: PRNGKeyArray | None = None,
  implementation: str | None = None,
) -> Float[Array, "b n h d"]:
  """Returns means of the values, weighted by how queries match keys.

  Args:
    query: One for each result and head.
    key: One for each value and head.
    value: Of the same type as queries and keys, as is the result.
    mask: False where a query does not see a key.
    bias: Added to how they match.
    is_causal: Whether a query sees no keys that come after it. For as many keys
      as queries, without `mask`.
    dropout_rate: Share of the weights that is left out. Above 0 attention
      takes a slower path.
    dropout_rng: Chooses them.
    implementation: One of `IMPLEMENTATIONS`, where nothing is left out.
  """
  is_plain = mask is None and bias is None
  if implementation is None and not dropout_rate:
    implementation = _fastest(query, key, is_plain, is_causal)
  if not dropout_rate and implementation == "cudnn" and is_plain:
    return _attend_even(query, key, value, is_causal)
  if is_causal:
    mask = jnp.tri(query.shape[1], dtype=bool)[None, None]
  if not dropout_rate and implementation == "heads_first":
    return _attend_heads_first(query, key, value, mask, bias)
  if bias is not None:
    bias = bias.astype(query.dtype)
  if not dropout_rate:
    return jax.nn.dot_product_attention(
      query, key, value, bias, mask, implementation=implementation
    )
  return nn.dot_product_attention(
    query,
    key,
    value,
    bias,
    mask=mask,
    dropout_rng=dropout_rng,
    dropout_rate=dropout_rate,
    deterministic=False,
    dtype=query.dtype,
    # The softmax is of the type of its argument.
    qk_attn_weights_einsum=functools.partial(
      jnp.einsum, preferred_element_type=jnp.float32
    ),
    attn_weights_value_einsum=jnp.einsum,
  )


def _fastest(query, key, is_plain: bool, is_causal: bool) -> str:
  """Returns the implementation that None stands for."""
  if target.platform() == "cpu":
    return "heads_first"
  is_narrow = query.dtype in (jnp.bfloat16, jnp.float16)
  if target.platform() == "gpu" and is_plain and is_narrow:
    shapes = (1, *query.shape[1:]), (1, *key.shape[1:])
    if not target.is_here() or _cudnn_takes(*shapes, query.dtype, is_causal):
      return "cudnn"
  return "xla"


@functools.cache
def _cudnn_takes(queries: tuple, keys: tuple, dtype, is_causal: bool) -> bool:
  """Returns whether cuDNN attends here: that depends on card and version.

  Found out by trying, in training too, with one clip.
  """

  def total(query, key):
    return _attend_even(query, key, key, is_causal).sum(dtype=jnp.float32)

  try:
    with jax.ensure_compile_time_eval():
      arrays = jnp.zeros(queries, dtype), jnp.zeros(keys, dtype)
      jax.block_until_ready(jax.grad(total, argnums=(0, 1))(*arrays))
  except Exception as error:  # Those of JAX, XLA and cuDNN have no common type.
    _log.warning(
      "Attention by XLA, which is slower and needs more memory: cuDNN's does "
      "not compute %s here: %s",
      queries,
      error,
    )
    return False
  return True


def _attend_even(query, key, value, is_causal):
  """Attention on even lengths: cuDNN's refuses 1,025 tokens, MAGVIT's number.

  One more token, left out by the lengths, is cheaper than the slow path.
  """
  batch, num_queries, num_keys = len(query), query.shape[1], key.shape[1]

  def even(array):
    return jnp.pad(array, [(0, 0), (0, array.shape[1] % 2), (0, 0), (0, 0)])

  lengths = {}
  if num_queries % 2 or num_keys % 2:
    lengths = {
      "query_seq_lengths": jnp.full(batch, num_queries, jnp.int32),
      "key_value_seq_lengths": jnp.full(batch, num_keys, jnp.int32),
    }
  attended = jax.nn.dot_product_attention(
    even(query),
    even(key),
    even(value),
    is_causal=is_causal,
    implementation="cudnn",
    **lengths,
  )
  return attended[:, :num_queries]


def _attend_heads_first(query, key, value, mask, bias):
  """Products whose batch axes come first: a third faster steps on CPU."""
  query, key, value = (
    array.transpose(0, 2, 1, 3) for array in (query, key, value)
  )
  scores = jnp.einsum(
    "bhnd,bhmd->bhnm",
    query,
    key,
    preferred_element_type=jnp.float32,
  )
  scores *= query.shape[-1] ** -0.5
  if bias is not None:
    scores += bias
  if mask is not None:
    scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(query.dtype)
  return jnp.einsum("bhnm,bhmd->bhnd", weights, value).transpose(0, 2, 1, 3)
