"""Attention, its softmax in float32 whatever type queries and keys have."""

import concurrent.futures
import functools
import logging

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from magvit3d.models import cpu_attention, target, tpu_attention

# 'heads_first' is ours, for CPUs. 'cudnn' (GPUs, bfloat16) and 'flash' (TPUs)
# need memory that grows with the sequence, not with its square. None is what of
# these can be had, else 'xla'.
IMPLEMENTATIONS = (None, "xla", "cudnn", "flash", "heads_first")
_KERNELS = {"gpu": "cudnn", "tpu": "flash"}
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
  if implementation == "flash" and not (
    is_plain and tpu_attention.suits(query.shape, key.shape)
  ):
    implementation = "xla"
  if not dropout_rate and is_plain and implementation in _KERNELS.values():
    kernel = _attend_even if implementation == "cudnn" else tpu_attention.attend
    return kernel(query, key, value, is_causal)
  if not dropout_rate and is_plain and implementation == "heads_first":
    if cpu_attention.suits(query.shape[1], key.shape[1]):
      return cpu_attention.attend(query, key, value, is_causal)
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
  platform = target.platform()
  if platform == "cpu":
    return "heads_first"
  is_narrow = query.dtype in (jnp.bfloat16, jnp.float16)
  if not is_plain or not is_narrow or platform not in _KERNELS:
    return "xla"
  kernel = _KERNELS[platform]
  if kernel == "flash" and not tpu_attention.suits(query.shape, key.shape):
    return "xla"
  shapes = (1, *query.shape[1:]), (1, *key.shape[1:])
  if target.is_here() and not _takes(kernel, *shapes, query.dtype, is_causal):
    return "xla"
  return kernel


@functools.cache
def _takes(
  kernel: str, queries: tuple, keys: tuple, dtype, is_causal: bool
) -> bool:
  """Returns whether a kernel attends here: devices and versions differ.

  Found out by trying, in training too, with one clip.
  """

  def total(query, key):
    attend = _attend_even if kernel == "cudnn" else tpu_attention.attend_here
    attended = attend(query, key, key, is_causal)
    return attended.sum(dtype=jnp.float32)

  def attempt():
    arrays = jnp.zeros(queries, dtype), jnp.zeros(keys, dtype)
    jax.block_until_ready(jax.grad(total, argnums=(0, 1))(*arrays))

  try:
    # In a thread of its own there is no mesh of devices, and nothing is traced.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
      thread.submit(attempt).result()
  except Exception as error:  # Those of JAX, XLA and cuDNN have no common type.
    _log.warning(
      "Attention by XLA, which is slower and needs more memory: %r does not "
      "compute %s here: %s",
      kernel,
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
