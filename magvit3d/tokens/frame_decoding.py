"""Decoding one frame after the other, each in a few steps.

CoPilot4D (https://arxiv.org/abs/2311.01017, algorithm 2): in each step all
tokens of a frame are drawn, the most certain ones are shown, and what was shown
before stays shown, but gets the new draw. Tokens that are locked, because they
are given, never change.
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from magvit3d.tokens import sampling, schedules
from magvit3d.tokens.vocabulary import MASK


@flax.struct.dataclass
class DecodedFrame:
  """A frame, and how it came; types are loose, for scans.

  Attributes:
    tokens: (b, n) int32: the result.
    steps: (num_steps, b, n): what was known after each step, else `MASK`.
  """

  tokens: PyTree
  steps: PyTree


def known_counts(
  schedule: str, num_steps: int, num_tokens: int
) -> Int[np.ndarray, " s"]:
  """Returns how many tokens of a frame are known after each step.

  Args:
    schedule: Of the share that stays hidden, see `schedules.mask_ratio`.
    num_steps: At least one more token becomes known in each; all in the last.
    num_tokens: Of the frame.

  Raises:
    ValueError: There are more steps than tokens.
  """
  if not 1 <= num_steps <= num_tokens:
    raise ValueError(
      f"steps_per_frame={num_steps} must be 1 to {num_tokens}, the tokens of a "
      "frame."
    )
  number = np.arange(1, num_steps + 1)
  with jax.ensure_compile_time_eval():
    progress = jnp.asarray(number / num_steps)
    ratio = np.asarray(schedules.mask_ratio(schedule, progress, num_tokens))
  known = num_tokens - np.floor(ratio * num_tokens).astype(np.int64)
  left = num_steps - number
  known = np.clip(known, number, num_tokens - left)
  known[-1] = num_tokens
  return np.maximum.accumulate(known)


def decode_frame(
  rng: PRNGKeyArray,
  logits_fn: Callable[[Array], Array],
  tokens: Int[Array, "b n"],
  counts: Int[np.ndarray, " s"],
  *,
  temperature: float = 1.0,
  choice_temperature: float = 1.0,
  resample: bool = True,
) -> DecodedFrame:
  """Fills in the hidden tokens of a frame.

  Args:
    rng: Key of all draws.
    logits_fn: Maps what is known, (b, n), to logits (b, n, k).
    tokens: `MASK`, or given ones, which are locked.
    counts: See `known_counts`; of a frame with locked tokens the same share of
      the others, rounded up.
    temperature: Of the tokens' distribution; 0 takes the likeliest.
    choice_temperature: Scale of the noise on the confidence, falling to 0.
    resample: Whether decoded tokens are drawn anew in later steps.
  """
  is_locked = tokens != MASK
  num_open = (~is_locked).sum(1)
  num_tokens = tokens.shape[1]

  def step(shown, at):
    number, count = at
    draw_rng, noise_rng = jax.random.split(jax.random.fold_in(rng, number))
    logits = logits_fn(shown)
    drawn = sampling.sample_logits(draw_rng, logits, temperature=temperature)
    is_known = shown != MASK
    stays = is_locked if resample else is_known
    drawn = jnp.where(stays, shown, drawn)
    confidence = jnp.take_along_axis(
      jax.nn.log_softmax(logits), drawn[..., None], axis=-1
    )[..., 0]
    scale = choice_temperature * (1 - (number + 1) / len(counts))
    confidence += scale * jax.random.gumbel(noise_rng, drawn.shape)
    confidence = jnp.where(is_known, jnp.inf, confidence)
    confidence = jnp.where(is_locked, -jnp.inf, confidence)
    rank = jnp.argsort(jnp.argsort(-confidence, axis=1), axis=1)
    num_known = -(-count * num_open // num_tokens)
    is_shown = is_locked | (rank < num_known[:, None])
    shown = jnp.where(is_shown, drawn, MASK)
    return shown, shown

  numbers = jnp.arange(len(counts))
  found, steps = jax.lax.scan(
    step, tokens, (numbers, jnp.asarray(counts, jnp.int32))
  )
  return DecodedFrame(found, steps)
