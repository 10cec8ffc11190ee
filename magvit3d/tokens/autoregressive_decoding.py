"""Autoregressive generation: one token after the other, each from all before.

A sequence is [MASK] [class] [codes, t-major]: the start token, the class id
(codebook_size + class), the token grid.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from magvit3d.tokens import vocabulary
from magvit3d.tokens.sampling import sample_logits

PREFIX_LENGTH = 2  # Start token and class.


def make_prefix(class_ids: Int[Array, " b"]) -> Int[Array, "b 2"]:
  """Returns what stands before the codes: start token and class id."""
  start = jnp.full_like(class_ids, vocabulary.MASK)
  return jnp.stack([start, class_ids], axis=1)


def make_sequence(
  class_ids: Int[Array, " b"], codes: Int[Array, "b t h w"]
) -> Int[Array, "b n"]:
  """Returns the whole sequence of token grids."""
  rows = codes.reshape(codes.shape[0], -1).astype(class_ids.dtype)
  return jnp.concatenate([make_prefix(class_ids), rows], axis=1)


def sample(
  rng: PRNGKeyArray,
  step_fn: Callable[
    [PyTree, Int[Array, "b m"]], tuple[Float[Array, "b m v"], PyTree]
  ],
  prefix: Int[Array, "b p"],
  num_tokens: int,
  *,
  codebook_size: int,
  sampling_temperature: float = 1.0,
  top_k: int | None = None,
  top_p: float | None = None,
) -> Int[Array, "b n"]:
  """Draws `num_tokens` codes that continue `prefix`; only codes are drawn.

  Args:
    rng: Key of all draws.
    step_fn: Reads on: `(cache, ids) -> (logits, cache)`, logits of the token
      after each id; a cache of None begins. See
      `autoregressive_transformer.make_step`.
    prefix: First ids, see `make_prefix`.
    num_tokens: Codes to draw, n. The last one is not read, so that
      `p + n - 1` positions are enough.
    codebook_size: Ids below this are codes; no others are drawn.
    sampling_temperature: 0 takes the likeliest code.
    top_k: See `sampling.sample_logits`.
    top_p: See `sampling.sample_logits`.
  """

  def draw(logits, index):
    return sample_logits(
      jax.random.fold_in(rng, index),
      logits[:, -1, :codebook_size],
      temperature=sampling_temperature,
      top_k=top_k,
      top_p=top_p,
    )

  def read_and_draw(carry, index):
    cache, token = carry
    logits, cache = step_fn(cache, token[:, None])
    token = draw(logits, index)
    return (cache, token), token

  logits, cache = step_fn(None, prefix)
  first = draw(logits, 0)
  _, rest = jax.lax.scan(
    read_and_draw, (cache, first), jnp.arange(1, num_tokens)
  )
  return jnp.concatenate([first[:, None], rest.T], axis=1)
