"""Checksums of a state's leaves, whatever devices they lie on.

A leaf is taken as unsigned words w_i of 8, 16 or 32 bits, in row-major order
(64-bit numbers are two words), and its checksum is

  sum of mix(w_i xor (i * 0x9E3779B9))  modulo 2^32,

with MurmurHash3's mix, which maps 32 bits to 32 bits one to one. Sums of
integers do not depend on their order, so neither do checksums on the sharding.
A single word that changed, in whatever bits, is always seen. Changes of several
words are missed where they happen to cancel, which is once in 2^32; somebody
who means to deceive can make them cancel.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree, UInt32

_WORD_BITS = 32
_GOLDEN_RATIO = 0x9E3779B9  # As a fraction of 2^32; odd.


def checksums(tree: PyTree) -> dict[str, int]:
  """Returns the checksum of each leaf, by path.

  A collective call where there are several processes: all of them make it.

  Args:
    tree: Arrays of booleans, integers, floats or complex numbers.
  """
  leaves = leaves_by_path(tree)
  if not leaves:
    return {}
  values = _jitted(_everywhere(leaves))(list(leaves.values()))
  return dict(zip(leaves, np.asarray(values).tolist(), strict=True))


def leaves_by_path(tree: PyTree) -> dict[str, Any]:
  """Returns leaves by paths such as 'g_params/encoder/kernel'."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in leaves
  }


def _everywhere(leaves: dict[str, Any]) -> NamedSharding | None:
  """Where every process can read the result; None if it can anyway."""
  for leaf in leaves.values():
    sharding = getattr(leaf, "sharding", None)
    if isinstance(sharding, NamedSharding):
      return NamedSharding(sharding.mesh, PartitionSpec())
  return None


@functools.cache
def _jitted(everywhere: NamedSharding | None):
  return jax.jit(_sums, out_shardings=everywhere)


def _sums(leaves: list[Array]) -> UInt32[Array, " leaves"]:
  return jnp.stack([_sum(leaf) for leaf in leaves])


def _sum(leaf: Array) -> UInt32[Array, ""]:
  words = _words(jnp.asarray(leaf))
  index = jnp.zeros(words.shape, jnp.uint32)
  stride = 1
  # By axis: flattening would move a sharded array between devices.
  for axis in reversed(range(words.ndim)):
    place = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
    index += place * np.uint32(stride % 2**_WORD_BITS)
    stride *= words.shape[axis]
  mixed = _mix(words ^ (index * np.uint32(_GOLDEN_RATIO)))
  return jnp.sum(mixed, dtype=jnp.uint32)


def _mix(words: Array) -> Array:
  """MurmurHash3's finalizer of 32 bits (Austin Appleby, public domain).

  Without it two signs that change cancel, and so does much else of floats,
  whose last bits are often 0.
  """
  words ^= words >> 16
  words *= np.uint32(0x85EBCA6B)
  words ^= words >> 13
  words *= np.uint32(0xC2B2AE35)
  return words ^ (words >> 16)


def _words(leaf: Array) -> Array:
  """The bits of numbers; those of 64 bits get an axis of two words."""
  if leaf.dtype == jnp.bool_:
    return leaf.astype(jnp.uint32)
  if jnp.iscomplexobj(leaf):
    leaf = jnp.stack([leaf.real, leaf.imag], axis=-1)
  bits = min(leaf.dtype.itemsize * 8, _WORD_BITS)
  words = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{bits}"))
  return words.astype(jnp.uint32)
