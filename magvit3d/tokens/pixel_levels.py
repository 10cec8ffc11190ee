"""Levels of grey as tokens, in place of a codebook: one token a pixel."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

_WHITE = 255


def to_tokens(frames: UInt8[Array, "*n"], num_levels: int) -> Int[Array, "*n"]:
  """Returns the nearest of `num_levels` levels of each pixel, int32."""
  levels = frames.astype(jnp.float32) * ((num_levels - 1) / _WHITE)
  return jnp.round(levels).astype(jnp.int32)


def to_frames(
  tokens: Int[np.ndarray, "*n"], num_levels: int
) -> UInt8[np.ndarray, "*n"]:
  """Returns the pixels of levels in [0, num_levels)."""
  return np.round(tokens * (_WHITE / (num_levels - 1))).astype(np.uint8)
