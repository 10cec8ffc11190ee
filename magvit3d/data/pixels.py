"""Pixel values: 8-bit in the records, [0, 1] in the networks."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def to_unit_range(frames: UInt8[Array, "*n"]) -> Float[Array, "*n"]:
  """Turns 8-bit values into float32 in [0, 1]."""
  return frames.astype(jnp.float32) / 255
