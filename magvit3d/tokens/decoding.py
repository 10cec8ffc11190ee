"""Parallel decoding: all tokens at once, the least certain ones again.

MaskGIT (https://arxiv.org/abs/2202.04200, section 3.2), with MAGVIT's
conditions (https://arxiv.org/abs/2212.05199, section 3.2).
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from magvit3d.tokens import masking, sampling, schedules

# In which tokens become known: None, the most certain ones first.
ORDERS = (None, "frame_by_frame")


@flax.struct.dataclass
class DecodingSteps:
  """What parallel decoding did, step by step; types are loose, for scans.

  Attributes:
    tokens: (num_iter, b, t, h, w) int32 the full grid after each step; the
      last is the result.
    is_unknown: (num_iter, b, t, h, w) bool: which of them are hidden again.
  """

  tokens: PyTree
  is_unknown: PyTree


def decode(
  rng: PRNGKeyArray,
  logits_fn: Callable[[masking.MaskedTokens], Array],
  shape: tuple[int, int, int, int],
  cond_inputs: Int[Array, "b t h w"] | None = None,
  cond_mask: Bool[Array, "..."] | None = None,
  *,
  kept: Bool[Array, "..."] | None = None,
  condition_mode: str | None = None,
  num_iter: int = 12,
  schedule: str = "cosine",
  mask_temperature: float = 4.5,
  sampling_temperature: float = 1.0,
  top_k: int | None = None,
  top_p: float | None = None,
  order: str | None = None,
  num_views: int = 1,
) -> DecodingSteps:
  """Generates a token grid in `num_iter` steps.

  Args:
    rng: Key of all draws.
    logits_fn: Maps what is known, (b, t, h, w) fields, to logits
      (b, t, h, w, k) over the codes.
    shape: (b, t, h, w).
    cond_inputs: Tokens of the condition clip, or None.
    cond_mask: Where they say something; broadcasts to `shape`.
    kept: Where they are the result; likewise.
    condition_mode: See `masking`.
    num_iter: Steps.
    schedule: See `schedules.mask_ratio`.
    mask_temperature: Scale of the noise on the confidence, falling to 0.
    sampling_temperature: Of the tokens' distribution; 0 takes the likeliest.
    top_k: See `sampling.sample_logits`.
    top_p: Likewise.
    order: One of `ORDERS`; 'frame_by_frame': those of earlier frames first,
      of a frame the most certain ones.
    num_views: Whose grids stand behind one another along t.
  """
  check_order(order)
  frame = jnp.arange(shape[1]) % (shape[1] // num_views)
  num_tokens = shape[1] * shape[2] * shape[3]
  maskable = masking.is_maskable(cond_mask, condition_mode, shape, kept)
  num_maskable = jnp.sum(maskable, axis=(1, 2, 3))

  def show(tokens, is_unknown):
    return masking.apply_mask(
      tokens,
      cond_inputs,
      cond_mask,
      is_unknown,
      condition_mode,
      "mask+refine",
      kept,
    )

  def step(carry, index):
    tokens, is_unknown = carry
    sample_rng, noise_rng = jax.random.split(jax.random.fold_in(rng, index))
    logits = logits_fn(show(tokens, is_unknown))
    sampled = sampling.sample_logits(
      sample_rng,
      logits,
      temperature=sampling_temperature,
      top_k=top_k,
      top_p=top_p,
    )
    tokens = jnp.where(is_unknown, sampled, tokens)

    progress = (index + 1) / num_iter
    log_probabilities = jax.nn.log_softmax(logits, axis=-1)
    confidence = jnp.take_along_axis(
      log_probabilities, tokens[..., None], axis=-1
    )[..., 0]
    noise = jax.random.gumbel(noise_rng, shape)
    confidence += mask_temperature * (1 - progress) * noise
    if order == "frame_by_frame":
      rank = confidence.reshape(shape[0], -1).argsort(axis=1).argsort(axis=1)
      confidence = rank.reshape(shape) - num_tokens * frame[:, None, None]
    # What is known stays known; at least one token becomes known each step.
    # Where count is a whole number, XLA's rounding of the compiled scan says
    # whether it is that or one less; upstream's numbers have the same.
    ratio = schedules.mask_ratio(schedule, progress, num_tokens)
    num_unknown = jnp.sum(is_unknown, axis=(1, 2, 3))
    count = jnp.floor(num_maskable * ratio).astype(jnp.int32)
    count = jnp.clip(count, 1, num_unknown - 1)
    hidden = masking.lowest_scores(confidence, is_unknown, count)
    has_rest = (num_unknown > 1)[:, None, None, None]
    hidden &= has_rest
    return (tokens, hidden), DecodingSteps(tokens, hidden)

  start = jnp.zeros(shape, jnp.int32)
  if condition_mode == "cond->cond" or condition_mode == "input->input":
    start = jnp.where(cond_mask, cond_inputs, start).astype(jnp.int32)
  if kept is not None:
    start = jnp.where(kept, cond_inputs, start).astype(jnp.int32)
  _, steps = jax.lax.scan(step, (start, maskable), jnp.arange(num_iter))
  return steps


def check_order(order: str | None) -> None:
  """Raises ValueError unless it is one of `ORDERS`."""
  if order not in ORDERS:
    raise ValueError(
      f"maskgvt.sampling.order={order!r} is unknown; use one of "
      f"{', '.join(map(str, ORDERS))}."
    )
