"""What a batch must be like, checked once before the first step."""

from collections.abc import Mapping

import numpy as np

from magvit3d.errors import UserError


def check_frames(
  batch: Mapping[str, np.ndarray],
  clip_shape: tuple[int, int, int, int] | None = None,
) -> None:
  """Raises UserError if clips are not uint8, or masks not of their size.

  Networks get them in [0, 1], which is what 8-bit values become.

  Args:
    batch: `frames` (b, t, h, w, 3) and, unless there are none, `masks`.
    clip_shape: (t, h, w, 3); None: any.
  """
  frames = batch["frames"]
  if clip_shape is not None and frames.shape[1:] != tuple(clip_shape):
    raise UserError(
      f"Clips of the training data are {_by(frames.shape[1:])}, but the config "
      f"says {_by(clip_shape)} (frames, height, width, channels). Change "
      "num_frames and image_size, or the data."
    )
  if frames.dtype != np.uint8:
    low, high = float(np.min(frames)), float(np.max(frames))
    raise UserError(
      f"Clips of the training data are {frames.dtype} in [{low:g}, {high:g}]; "
      "they must be 8-bit (uint8), 0 to 255, which the networks see as [0, 1]."
    )
  masks = batch.get("masks")
  if masks is not None and masks.shape != frames.shape[:-1]:
    raise UserError(
      f"Masks of the training data are {_by(masks.shape[1:])}, but clips are "
      f"{_by(frames.shape[1:])}."
    )


def check_tokens(
  batch: Mapping[str, np.ndarray],
  grid: tuple[int, int, int],
  codebook_size: int,
) -> None:
  """Raises UserError if token grids do not fit `config.vqvae`.

  Args:
    batch: `tokens` (b, t, h, w) and, unless there are none, `cond_tokens`
      (b, n, t, h, w).
    grid: (t, h, w).
    codebook_size: Codes are below it.
  """
  for name in ("tokens", "cond_tokens"):
    if name not in batch:
      continue
    tokens = batch[name]
    if tokens.shape[-3:] != tuple(grid):
      raise UserError(
        f"{name} of the training data are {_by(tokens.shape[-3:])}, but the "
        f"config's networks make {_by(grid)}."
      )
    _check_range(name, tokens, codebook_size, "config.vqvae.codebook_size")


def check_labels(batch: Mapping[str, np.ndarray], num_classes: int) -> None:
  """Raises UserError if a label is no class; 0 classes take any label."""
  if num_classes:
    _check_range("labels", batch["labels"], num_classes, "the classes")


def _check_range(name, values, count, what) -> None:
  low, high = int(np.min(values)), int(np.max(values))
  if low < 0 or high >= count:
    raise UserError(
      f"{name} of the training data are in [{low}, {high}], but {what} are "
      f"{count}, so they must be in [0, {count - 1}]."
    )


def _by(shape) -> str:
  return " x ".join(str(size) for size in shape)
