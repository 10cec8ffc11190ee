"""Attention on TPUs by JAX's kernel, which keeps no weights of all pairs.

FlashAttention, https://arxiv.org/abs/2205.14135, as in
`jax.experimental.pallas.ops.tpu.flash_attention`.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import flash_attention
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from magvit3d.parallel import sharding

_LANES = 128  # Sequences are padded to multiples of it.
_MAX_BLOCK = 512  # Queries, or keys, that a core has at a time.


def suits(queries: tuple[int, ...], keys: tuple[int, ...]) -> bool:
  """Returns whether the kernel takes these shapes, on the devices of the mesh.

  Outside `jax.set_mesh` one device computes: XLA cannot split the kernel.
  """
  mesh = jax.sharding.get_abstract_mesh()
  b, _, num_heads, width = queries
  if queries != keys or (width > _LANES and width % _LANES):
    return False
  if mesh.empty:
    return jax.device_count() == 1
  splits = [mesh.shape.get(axis, 1) for axis in sharding.AXES]
  return not b % (splits[0] * splits[1]) and not num_heads % splits[2]


def attend(
  query: Float[Array, "b n h d"],
  key: Float[Array, "b n h d"],
  value: Float[Array, "b n h d"],
  is_causal: bool,
) -> Float[Array, "b n h d"]:
  """Attention of `suits`, each device on its clips and heads.

  Args:
    query: One for each result and head.
    key: Of the same shape.
    value: Likewise.
    is_causal: Whether a query sees no keys that come after it.
  """
  function = functools.partial(attend_here, is_causal=is_causal)
  if jax.sharding.get_abstract_mesh().size > 1:
    spec = PartitionSpec(sharding.BATCH_AXES, None, sharding.AXES[-1])
    function = jax.shard_map(
      function, in_specs=(spec,) * 3, out_specs=spec, check_vma=False
    )
  return function(query, key, value)


def attend_here(query, key, value, is_causal: bool) -> Array:
  """The same on one device."""
  length = query.shape[1]
  padded = -(-length // _LANES) * _LANES
  block = max(
    size
    for size in range(_LANES, min(padded, _MAX_BLOCK) + 1, _LANES)
    if padded % size == 0
  )

  def heads_first(array):
    widths = [(0, 0), (0, padded - length), (0, 0), (0, 0)]
    return jnp.pad(array, widths).swapaxes(1, 2)

  # What is padded is a segment of its own.
  ids = jnp.broadcast_to(
    (jnp.arange(padded) < length).astype(jnp.int32)[None], (len(query), padded)
  )
  sizes = {
    name: block
    for name in flash_attention.BlockSizes.__dataclass_fields__
    if name != "block_b"
  }
  attended = flash_attention.flash_attention(
    *map(heads_first, (query, key, value)),
    segment_ids=flash_attention.SegmentIds(ids, ids),
    causal=is_causal,
    sm_scale=query.shape[-1] ** -0.5,
    block_sizes=flash_attention.BlockSizes(**sizes, block_b=1),
  )
  return attended.swapaxes(1, 2)[:, :length]
