"""Image scores of clips, their trivial baselines, and use of the codebook.

Conventions:
  Clips are (n, t, h, w, 3) floats in [0, 1]; scores are one value a clip.
  Masks are (n, t, h, w) booleans, True on the object, not yet dilated: the
  functions that need the dilated mask dilate it themselves.
  PSNR is in dB for a peak of 1 and at most MAX_PSNR_DB, which equal images get.

Most of a frame is background, so whole-frame PSNR says little: an all-black
clip scores about 25 dB. Always give `foreground_psnr` and the baselines
(`background_only`, `copy_first_frame`, `copy_last`) beside it.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage

# Equal images would be infinitely good, and one of them would make the mean
# over a split infinite. 100 dB is a mean squared error of 1e-10, far below the
# 5e-6 that rounding to 8 bits alone costs.
MAX_PSNR_DB = 100.0

# Pixels around the true mask that still count as foreground: anti-aliased
# edges and a reconstruction that is a little too large.
DILATION_RADIUS = 2

# Structural similarity (Wang et al., 2004), as upstream sets it.
_GREY_WEIGHTS = np.array([0.2125, 0.7154, 0.0721])
_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_SSIM_K1, _SSIM_K2 = 0.01, 0.03


def psnr(
  a: Float[np.ndarray, "_ _ _ _ 3"], b: Float[np.ndarray, "_ _ _ _ 3"]
) -> Float[np.ndarray, " n"]:
  """Returns PSNR in dB: of each frame, then averaged over a clip's frames.

  Raises:
    ValueError: `a` and `b` differ in shape or leave [0, 1].
  """
  _check_pair(a, b)
  errors = np.mean(_squared_difference(a, b), axis=(2, 3, 4))
  return np.mean(_decibels(errors), axis=1)


def ssim(
  a: Float[np.ndarray, "_ _ _ _ 3"], b: Float[np.ndarray, "_ _ _ _ 3"]
) -> Float[np.ndarray, " n"]:
  """Returns structural similarity of the grey frames, averaged over a clip.

  An 11 x 11 Gaussian window (sigma 1.5) that stays inside the image; values
  are in [-1, 1], 1 for equal clips.

  Raises:
    ValueError: `a` and `b` differ in shape, leave [0, 1], or are smaller than
      the window.
  """
  _check_pair(a, b)
  if min(a.shape[2:4]) < _SSIM_WINDOW:
    raise ValueError(
      f"SSIM needs frames of at least {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels, "
      f"the size of its window; these are {a.shape[2]} x {a.shape[3]}."
    )
  grey_a = a.astype(np.float64) @ _GREY_WEIGHTS
  grey_b = b.astype(np.float64) @ _GREY_WEIGHTS
  mean_a, mean_b = _window_mean(grey_a), _window_mean(grey_b)
  variance_a = np.maximum(_window_mean(grey_a**2) - mean_a**2, 0)
  variance_b = np.maximum(_window_mean(grey_b**2) - mean_b**2, 0)
  # Rounding must not make a covariance larger than the variances allow.
  limit = np.sqrt(variance_a * variance_b)
  covariance = np.clip(
    _window_mean(grey_a * grey_b) - mean_a * mean_b, -limit, limit
  )
  c1, c2 = _SSIM_K1**2, _SSIM_K2**2
  similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
  similarity /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
  return np.mean(similarity, axis=(1, 2, 3))


def foreground_psnr(
  a: Float[np.ndarray, "_ _ _ _ 3"],
  b: Float[np.ndarray, "_ _ _ _ 3"],
  masks: Bool[np.ndarray, "_ _ _ _"],
) -> Float[np.ndarray, " n"]:
  """Returns PSNR in dB over the pixels of the dilated true mask only.

  The squared error is pooled over all foreground pixels of a clip, so a frame
  in which the object is small counts little. A clip without foreground gives
  NaN: average with `np.nanmean`.

  Raises:
    ValueError: `a` and `b` differ in shape, leave [0, 1], or do not fit
      `masks`.
  """
  _check_pair(a, b)
  if masks.shape != a.shape[:-1]:
    raise ValueError(
      f"masks have shape {masks.shape}, the clips {a.shape}: give one mask a "
      f"frame, {a.shape[:-1]}."
    )
  is_foreground = dilate(masks)
  error = np.mean(_squared_difference(a, b), axis=-1)
  total = np.sum(error, axis=(1, 2, 3), where=is_foreground)
  count = np.sum(is_foreground, axis=(1, 2, 3))
  pooled = np.where(count > 0, total / np.maximum(count, 1), np.nan)
  return _decibels(pooled)


def object_color_error(
  a: Float[np.ndarray, "n t h w 3"],
  b: Float[np.ndarray, "n t h w 3"],
  masks: Bool[np.ndarray, "n t h w"],
) -> Float[np.ndarray, " n"]:
  """Returns how far apart the mean colours of an object are in two videos.

  The mean is over the true mask in all frames, so that blur and shape count
  little; the distance is the root mean square of the differences of red, green
  and blue, in [0, 1]. A clip without object gives NaN.
  """
  count = np.sum(masks, axis=(1, 2, 3))
  total = np.einsum("nthwc,nthw->nc", a - b, masks.astype(a.dtype))
  mean = total / np.where(count > 0, count, np.nan)[:, None]
  return np.sqrt(np.mean(mean**2, axis=-1))


def dilate(
  masks: Bool[np.ndarray, "*batch h w"], radius: int = DILATION_RADIUS
) -> Bool[np.ndarray, "*batch h w"]:
  """Returns `masks` grown by `radius` pixels in every direction.

  The neighbourhood is a square of side 2 * radius + 1, not a disc: it is
  separable and contains the disc, so no pixel that a disc would count is lost.
  """
  size = (1,) * (masks.ndim - 2) + (2 * radius + 1,) * 2
  return ndimage.maximum_filter(masks, size=size, mode="constant", cval=False)


def background_only(
  background: Float[np.ndarray, "n _ _ 3"], shape: tuple[int, ...]
) -> Float[np.ndarray, "n t h w 3"]:
  """Returns clips of `shape` that show the background and no object.

  Args:
    background: RGB in [0, 1]: colours (n, 1, 1, 3) or images (n, h, w, 3).
    shape: (n, t, h, w, 3).
  """
  return np.broadcast_to(background[:, None], shape).copy()


def copy_first_frame(
  clip: Float[np.ndarray, "n t h w 3"],
) -> Float[np.ndarray, "n t h w 3"]:
  """Returns `clip` frozen at its first frame."""
  return copy_last(clip, given_frames=1)


def copy_last(
  clip: Float[np.ndarray, "n t h w 3"], given_frames: int
) -> Float[np.ndarray, "n t h w 3"]:
  """Returns the first `given_frames` frames, the last of them then repeated.

  Raises:
    ValueError: `given_frames` is not in [1, t].
  """
  num_frames = clip.shape[1]
  if not 1 <= given_frames <= num_frames:
    raise ValueError(
      f"given_frames={given_frames} of a clip of {num_frames} frames: copying "
      f"the last given frame needs 1 to {num_frames}."
    )
  return clip[:, np.minimum(np.arange(num_frames), given_frames - 1)]


def foreground_cells(
  masks: Bool[np.ndarray, "n frames height width"],
  latent_shape: tuple[int, int, int],
) -> Bool[np.ndarray, "n t h w"]:
  """Returns which latent cells touch the dilated object mask.

  A cell stands for a block of pixels and frames: the mask is dilated in every
  frame and a cell is foreground where any pixel of its block is.

  Args:
    masks: Not dilated yet.
    latent_shape: (t, h, w) of the tokens.

  Raises:
    ValueError: `latent_shape` does not divide the masks' shape.
  """
  video_shape = masks.shape[1:]
  if any(v % c for v, c in zip(video_shape, latent_shape, strict=True)):
    raise ValueError(
      f"latent_shape={latent_shape} does not divide the masks' frames, height "
      f"and width {video_shape}, so cells are no whole blocks of pixels. Use "
      "masks of the clips that the tokens come from."
    )
  t, h, w = latent_shape
  frames, height, width = (
    v // c for v, c in zip(video_shape, latent_shape, strict=True)
  )
  blocks = dilate(masks).reshape(-1, t, frames, h, height, w, width)
  return np.any(blocks, axis=(2, 4, 6))


def code_usage(
  tokens: Integer[np.ndarray, "..."], codebook_size: int
) -> dict[str, float]:
  """Returns how much of the codebook `tokens` use.

  Returns:
    usage: Share of the codes that occur, in [0, 1].
    perplexity: exp of the entropy of the tokens' distribution: the number of
      codes that, used equally often, would be as varied; NaN without tokens.
    dead_codes: Number of codes that never occur.

  Raises:
    ValueError: A token is outside [0, codebook_size).
  """
  if tokens.size and not 0 <= tokens.min() <= tokens.max() < codebook_size:
    raise ValueError(
      f"tokens span [{tokens.min()}, {tokens.max()}], but a codebook of "
      f"{codebook_size} codes has ids 0 to {codebook_size - 1}. Leave special "
      "tokens out, or correct codebook_size."
    )
  counts = np.bincount(tokens.ravel(), minlength=codebook_size)
  num_used = int(np.count_nonzero(counts))
  perplexity = float("nan")
  if tokens.size:
    shares = counts[counts > 0] / tokens.size
    perplexity = float(np.exp(-np.sum(shares * np.log(shares))))
  return {
    "usage": num_used / codebook_size,
    "perplexity": perplexity,
    "dead_codes": codebook_size - num_used,
  }


def most_frequent_token_error(tokens: Integer[np.ndarray, "..."]) -> float:
  """Returns the error rate, in [0, 1], of one constant guess for all tokens.

  The trivial baseline of a token predictor: always the most frequent token.
  NaN without tokens.
  """
  if not tokens.size:
    return float("nan")
  _, counts = np.unique(tokens, return_counts=True)
  return float(1 - counts.max() / tokens.size)


def _check_pair(a: np.ndarray, b: np.ndarray) -> None:
  if a.shape != b.shape:
    raise ValueError(
      f"The clips to compare have shapes {a.shape} and {b.shape}; both must be "
      "the same (n, t, h, w, 3)."
    )
  for name, clips in (("first", a), ("second", b)):
    # Not `min() < 0 or max() > 1`, which lets NaN through.
    if clips.size and not (clips.min() >= 0 and clips.max() <= 1):
      raise ValueError(
        f"The {name} clips have values in [{clips.min()}, {clips.max()}], "
        "outside [0, 1]. Clip a network's output to [0, 1]; divide uint8 "
        "frames by 255."
      )


def _squared_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  return np.square(a.astype(np.float64) - b.astype(np.float64))


def _decibels(mean_squared_error: np.ndarray) -> np.ndarray:
  floor = 10 ** (-MAX_PSNR_DB / 10)
  return -10 * np.log10(np.maximum(mean_squared_error, floor))


def _window_mean(grey: np.ndarray) -> np.ndarray:
  """Gaussian-weighted mean of each window that lies inside (n, t, h, w)."""
  radius = _SSIM_WINDOW // 2
  offsets = np.arange(-radius, radius + 1)
  weights = np.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
  weights /= weights.sum()
  for axis in (2, 3):
    grey = ndimage.correlate1d(grey, weights, axis=axis)
  return grey[:, :, radius:-radius, radius:-radius]
