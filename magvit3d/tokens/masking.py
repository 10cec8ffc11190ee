"""Which latent tokens are hidden from the transformer, and what it must say.

All functions act on token grids (b, t, h, w). `cond_mask` is true where the
task's condition clip says something and broadcasts to that shape.

Condition modes (MAGVIT, https://arxiv.org/abs/2212.05199, section 3.2):
  None           no condition; masked positions show MASK.
  'cond->input'  COMMIT: a masked position inside `cond_mask` shows the
                 condition token, one outside shows MASK.
  'input->input' the condition region is never masked.
  'cond->cond'   the same, and it holds the condition's tokens.

Tokens that are `kept`, where a task gives them exactly, are never masked in any
mode, and no loss counts there.
"""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from magvit3d.tokens.vocabulary import MASK

CONDITION_MODES = (None, "cond->input", "input->input", "cond->cond")
WEIGHT_MODES = ("mask+refine+recons", "mask+refine")


@flax.struct.dataclass
class MaskedTokens:
  """A partly hidden token grid; all fields are (b, t, h, w).

  Attributes:
    masked_inputs: What the transformer sees.
    uncond_masked_inputs: The same without the condition, for guidance.
    segment_ids: 1 where a condition token stands in for a masked one.
    targets: The true tokens.
    weights: 1 where the loss counts, else 0.
  """

  masked_inputs: Int[Array, "..."]
  uncond_masked_inputs: Int[Array, "..."]
  segment_ids: Int[Array, "..."]
  targets: Int[Array, "..."]
  weights: Float[Array, "..."]


def is_maskable(
  cond_mask: Bool[Array, "..."] | None,
  condition_mode: str | None,
  shape: tuple,
  kept: Bool[Array, "..."] | None = None,
) -> Bool[Array, "..."]:
  """Positions that may be hidden: all, or those outside the condition.

  Those that are `kept` may not; None keeps none. Both masks broadcast.
  """
  if condition_mode not in CONDITION_MODES:
    raise ValueError(
      f"Unknown condition mode {condition_mode!r}; use one of "
      f"{', '.join(map(repr, CONDITION_MODES))}."
    )
  if condition_mode in ("input->input", "cond->cond"):
    maskable = jnp.broadcast_to(jnp.logical_not(cond_mask), shape)
  else:
    maskable = jnp.ones(shape, bool)
  return maskable if kept is None else maskable & ~kept


def lowest_scores(
  score: Float[Array, "b t h w"],
  maskable: Bool[Array, "b t h w"],
  count: Int[Array, " b"],
) -> Bool[Array, "b t h w"]:
  """Marks each clip's `count` lowest scores (ties with the last one too)."""
  b = score.shape[0]
  candidates = jnp.where(maskable, score, jnp.inf).reshape(b, -1)
  index = jnp.clip(count, 1, candidates.shape[1])[:, None] - 1
  threshold = jnp.take_along_axis(jnp.sort(candidates, axis=1), index, axis=1)
  is_masked = (candidates <= threshold).reshape(score.shape)
  return is_masked & maskable


def random_mask(
  inputs: Int[Array, "b t h w"],
  cond_inputs: Int[Array, "b t h w"] | None,
  cond_mask: Bool[Array, "..."] | None,
  mask_score: Float[Array, "b t h w"],
  ratio: Float[Array, "*b"] | float,
  condition_mode: str | None,
  weight_mode: str,
  kept: Bool[Array, "..."] | None = None,
) -> MaskedTokens:
  """Hides the share `ratio` of the maskable tokens with the lowest scores.

  Args:
    inputs: True tokens.
    cond_inputs: Tokens of the condition clip; None without condition.
    cond_mask: See the module's docstring; None without condition.
    mask_score: See `mask_scores.make_scores`.
    ratio: In [0, 1], of all clips or of each; at least one token is masked.
    condition_mode: See the module's docstring.
    weight_mode: 'mask+refine+recons' counts the loss at every maskable
      position, 'mask+refine' at the masked ones.
    kept: Where tokens are given exactly; None for nowhere.
  """
  maskable = is_maskable(cond_mask, condition_mode, inputs.shape, kept)
  num_maskable = jnp.sum(maskable, axis=(1, 2, 3))
  count = jnp.floor(num_maskable * ratio).astype(jnp.int32)
  count = jnp.clip(count, 1, jnp.maximum(num_maskable, 1))
  is_masked = lowest_scores(mask_score, maskable, count)
  return apply_mask(
    inputs, cond_inputs, cond_mask, is_masked, condition_mode, weight_mode, kept
  )


def apply_mask(
  inputs: Int[Array, "b t h w"],
  cond_inputs: Int[Array, "b t h w"] | None,
  cond_mask: Bool[Array, "..."] | None,
  is_masked: Bool[Array, "b t h w"],
  condition_mode: str | None,
  weight_mode: str,
  kept: Bool[Array, "..."] | None = None,
) -> MaskedTokens:
  """Hides the given positions; arguments as in `random_mask`."""
  maskable = is_maskable(cond_mask, condition_mode, inputs.shape, kept)
  targets = inputs
  if condition_mode == "cond->cond":
    targets = jnp.where(cond_mask, cond_inputs, inputs)
  uncond_masked_inputs = jnp.where(is_masked, MASK, targets)
  masked_inputs = uncond_masked_inputs
  shows_condition = jnp.zeros_like(is_masked)
  if condition_mode == "cond->input":
    shows_condition = is_masked & cond_mask
    masked_inputs = jnp.where(shows_condition, cond_inputs, masked_inputs)
  if weight_mode not in WEIGHT_MODES:
    raise ValueError(
      f"Unknown weight mode {weight_mode!r}; use one of "
      f"{', '.join(WEIGHT_MODES)}."
    )
  counted = maskable if weight_mode == "mask+refine+recons" else is_masked
  return MaskedTokens(
    masked_inputs=masked_inputs,
    uncond_masked_inputs=uncond_masked_inputs,
    segment_ids=shows_condition.astype(jnp.int32),
    targets=targets,
    weights=counted.astype(jnp.float32),
  )
