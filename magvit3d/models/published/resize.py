"""Bilinear resizing of frames, in the three conventions of published networks.

An output pixel i of n stands at this place of m input pixels:
  "half_pixel": (i + 1/2) m / n - 1/2, where pixels are squares (PyTorch,
    `jax.image.resize`).
  "origin": i m / n, as TensorFlow 1 does by default.
  "corners": i (m - 1) / (n - 1): the corner pixels keep their places.
Places beyond the last pixel take its value. Nothing is smoothed before frames
are made smaller (no antialiasing).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

CONVENTIONS = ("half_pixel", "origin", "corners")


def resize_bilinear(
  frames: Float[Array, "... _ _ c"], size: tuple[int, int], convention: str
) -> Float[Array, "... _ _ c"]:
  """Returns frames of `size` (height, width), float32.

  Args:
    frames: Any number of leading axes, then height, width, channels.
    size: New height and width.
    convention: One of `CONVENTIONS`.

  Raises:
    ValueError: The convention is unknown.
  """
  rows = _weights(frames.shape[-3], size[0], convention)
  columns = _weights(frames.shape[-2], size[1], convention)
  return jnp.einsum(
    "yh,...hwc,xw->...yxc",
    rows,
    frames.astype(jnp.float32),
    columns,
    precision=jax.lax.Precision.HIGHEST,
  )


def _weights(size: int, new_size: int, convention: str) -> np.ndarray:
  """Matrix (new_size, size) that maps a line of pixels to the new line."""
  index = np.arange(new_size, dtype=np.float64)
  if convention == "half_pixel":
    places = (index + 0.5) * size / new_size - 0.5
  elif convention == "origin":
    places = index * size / new_size
  elif convention == "corners":
    places = index * (size - 1) / max(new_size - 1, 1)
  else:
    raise ValueError(
      f"convention={convention!r} is unknown; use one of "
      f"{', '.join(CONVENTIONS)}."
    )
  places = np.clip(places, 0, size - 1)
  distances = np.abs(places[:, None] - np.arange(size)[None])
  return np.maximum(1 - distances, 0).astype(np.float32)
