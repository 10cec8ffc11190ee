"""Turns 2D kernels into 3D ones (I3D, https://arxiv.org/abs/1705.07750).

'2d->3d' ("central") puts the 2D kernel into the middle slice in time and zeros
elsewhere: each frame is then seen as the 2D network sees it. Of an even number
of slices the middle one is the later of the two, depth // 2. '2d->3d/average'
puts the kernel, divided by the depth, into every slice: a clip of one repeated
frame is then seen so, away from its ends.
"""

import numpy as np

from magvit3d.errors import UserError

CENTRAL, AVERAGE = "central", "average"
MODES = {"2d->3d": CENTRAL, "2d->3d/average": AVERAGE}


def mode_of(inflation: str | None) -> str | None:
  """Returns 'central' or 'average' for a value of `init_from.inflation`.

  Raises:
    UserError: The value is unknown.
  """
  if not inflation:
    return None
  if inflation not in MODES:
    raise UserError(
      f"inflation={inflation!r} is unknown; use one of {', '.join(MODES)}, or "
      "none."
    )
  return MODES[inflation]


def is_inflatable(
  source_shape: tuple[int, ...], target_shape: tuple[int, ...]
) -> bool:
  """Whether the target only has an axis of time before the source's axes."""
  # 2D kernels have two axes of space and two of channels.
  return len(source_shape) == 4 and target_shape[1:] == source_shape


def inflate_leaf(kernel: np.ndarray, depth: int, mode: str) -> np.ndarray:
  """Returns a kernel (depth, h, w, in, out) for one of (h, w, in, out)."""
  if mode == AVERAGE:
    return np.repeat(kernel[None] / depth, depth, axis=0)
  inflated = np.zeros((depth, *kernel.shape), kernel.dtype)
  inflated[depth // 2] = kernel
  return inflated
