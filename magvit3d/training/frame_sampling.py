"""Which frames of a clip the 2D tokenizer trains on."""

import numpy as np
from jaxtyping import Int


def sampled_frames(
  count: int | None, num_frames: int
) -> Int[np.ndarray, " n"] | None:
  """Frames that 2D training takes of a clip: round(k t / (n + 1))."""
  if count is None:
    return None
  if not 1 <= count <= num_frames:
    raise ValueError(
      f"vqgan.num_train_sampled_frames={count} must be between 1 and the "
      f"{num_frames} frames of a clip."
    )
  index = np.arange(1, count + 1) * num_frames / (count + 1)
  return np.minimum(np.round(index), num_frames - 1).astype(np.int32)
