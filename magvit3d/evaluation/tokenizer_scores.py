"""How well the tokenizer shows the object, and how it uses its codes."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.evaluation import image_metrics
from magvit3d.evaluation.tables import Column, Row
from magvit3d.inference.batched import map_batches
from magvit3d.models.tokenizer import Tokenizer

_CLIPS_AT_A_TIME = 32
# Of `image_scores`.
IMAGE_COLUMNS = (
  Column("PSNR", "dB", "higher"),
  Column("SSIM", "", "higher"),
  Column("foreground PSNR", "dB", "higher"),
)


def make_reconstruct(
  tokenizer: Tokenizer, batch_size: int, mesh: Mesh
) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
  """Returns `(params, frames) -> (reconstruction, tokens)`, jitted.

  `frames` is uint8 (n, t, h, w, 3); the reconstruction is float32, clipped to
  [0, 1]; tokens are (n, t', h', w'). `is_quantizing=False` reconstructs from
  the features themselves, as training does before the quantizer's first step.
  """

  @jax.jit
  def reconstruct(params, batch, is_quantizing):
    clips = to_unit_range(batch["frames"])
    out = tokenizer.apply(
      {"params": params}, clips, is_quantizing=is_quantizing
    )
    return jnp.clip(out.reconstruction, 0, 1), out.quantized.tokens

  def run(params, frames, is_quantizing=True):
    return map_batches(
      lambda batch: reconstruct(params, batch, is_quantizing),
      {"frames": frames},
      batch_size,
      mesh,
    )

  return run


def make_decode(
  tokenizer: Tokenizer, batch_size: int, mesh: Mesh
) -> Callable[[PyTree, np.ndarray], np.ndarray]:
  """Returns `(params, tokens) -> clips` in [0, 1], jitted."""

  @jax.jit
  def decode(params, batch):
    clips = tokenizer.apply(
      {"params": params}, batch["tokens"], method="decode_tokens"
    )
    return jnp.clip(clips, 0, 1)

  def run(params, tokens):
    return map_batches(
      lambda batch: decode(params, batch),
      {"tokens": tokens},
      batch_size,
      mesh,
    )

  return run


def image_scores(
  clips: Float[np.ndarray, "n t h w 3"],
  real: Float[np.ndarray, "n t h w 3"],
  masks: np.ndarray,
) -> dict[str, float | None]:
  """PSNR, SSIM and foreground PSNR, averaged over clips.

  The last is None where no mask shows an object.
  """
  return {
    "psnr": float(np.mean(_by_clip(image_metrics.psnr, clips, real))),
    "ssim": float(np.mean(_by_clip(image_metrics.ssim, clips, real))),
    "foreground_psnr": _foreground_psnr(clips, real, masks > 0),
  }


def _by_clip(metric, *arrays) -> np.ndarray:
  """A metric of clips, some at a time: it takes memory several times theirs."""
  parts = [
    metric(*(array[start : start + _CLIPS_AT_A_TIME] for array in arrays))
    for start in range(0, len(arrays[0]), _CLIPS_AT_A_TIME)
  ]
  return np.concatenate(parts)


def _foreground_psnr(clips, real, is_object) -> float | None:
  """Mean over the clips with an object; None if there are none."""
  if not is_object.any():
    return None
  return float(
    np.nanmean(_by_clip(image_metrics.foreground_psnr, clips, real, is_object))
  )


def validation_scores(
  reconstruct: Callable,
  params: PyTree,
  clips: Mapping[str, np.ndarray],
  is_quantizing: bool = True,
) -> dict[str, float]:
  """Scores that training logs, and the oracle gate reads.

  `clips` has `frames`, `masks` and `background`; see `load_clips`.
  `foreground_gain` is the foreground PSNR above the background-only
  baseline's, in dB. Without any masks there are no scores of the foreground.
  """
  real = clips["frames"].astype(np.float32) / 255
  reconstruction, tokens = reconstruct(params, clips["frames"], is_quantizing)
  is_object = clips["masks"] > 0
  psnr = float(np.mean(image_metrics.psnr(reconstruction, real)))
  everywhere = {"psnr": psnr, "code_perplexity": _perplexity(tokens.ravel())}
  if not is_object.any():
    return everywhere
  background = image_metrics.background_only(clips["background"], real.shape)
  foreground = _foreground_psnr(reconstruction, real, is_object)
  baseline = _foreground_psnr(background, real, is_object)
  cells = image_metrics.foreground_cells(is_object, tokens.shape[1:])
  return everywhere | {
    "foreground_psnr": foreground,
    "background_only_foreground_psnr": baseline,
    "foreground_gain": foreground - baseline,
    "foreground_perplexity": _perplexity(tokens[cells]),
  }


def _perplexity(tokens: Int[np.ndarray, " n"]) -> float:
  size = int(tokens.max(initial=0)) + 1
  return image_metrics.code_usage(tokens, size)["perplexity"]


def reconstruction_table(
  reconstruction: Float[np.ndarray, "n t h w 3"],
  clips: Mapping[str, np.ndarray],
) -> tuple[list[Row], float | None, float | None]:
  """Rows of the reconstruction table, and what is checked of it.

  That is the foreground gain in dB and the ratio of the object's colour error
  to that of the bare background; both None where no mask shows an object.
  """
  real = clips["frames"].astype(np.float32) / 255
  background = image_metrics.background_only(clips["background"], real.shape)
  copied = image_metrics.copy_first_frame(real)
  is_object = clips["masks"] > 0
  found = [
    [
      *image_scores(shown, real, clips["masks"]).values(),
      _color_error(shown, real, is_object),
    ]
    for shown in (reconstruction, background, copied)
  ]
  rows = [
    Row.of("tokenizer (moving average)", "model", found[0]),
    Row.of("background only", "baseline", found[1]),
    Row.of("copy of the first frame", "baseline", found[2]),
  ]
  if not is_object.any():
    return rows, None, None
  (psnr, error), (bare_psnr, bare_error), _ = (line[-2:] for line in found)
  return rows, psnr - bare_psnr, error / bare_error


def _color_error(clips, real, is_object) -> float | None:
  """Mean over the clips with an object; None if there are none."""
  if not is_object.any():
    return None
  errors = image_metrics.object_color_error(clips, real, is_object)
  return float(np.nanmean(errors))


def code_table(
  tokens: Int[np.ndarray, "n t h w"],
  is_foreground: np.ndarray,
  codebook_size: int,
) -> tuple[list[Row], float | None]:
  """Rows of the code usage table, and the perplexity on foreground cells.

  The latter is None where no cell touches an object.
  """
  rows, perplexity = [], None
  for name, chosen in (
    ("all cells", tokens),
    ("cells that touch the object", tokens[is_foreground]),
  ):
    usage = image_metrics.code_usage(chosen, codebook_size)
    perplexity = usage["perplexity"] if chosen.size else None
    values = (chosen.size, usage["usage"], perplexity)
    rows.append(Row.of(name, "model", values))
  baseline = "baseline: one code for everything"
  values = (tokens.size, 1 / codebook_size, 1.0)
  return [*rows, Row.of(baseline, "baseline", values)], perplexity
