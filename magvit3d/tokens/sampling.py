"""Drawing tokens from logits: temperature, top-k and nucleus (top-p) cuts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

DROPPED = -1e7  # Logit of what is never drawn; finite, unlike -inf.


def keep_top_k(
  logits: Float[Array, "*n k"], count: int
) -> Float[Array, "*n k"]:
  """Drops all but the `count` largest logits (and ties with the last one)."""
  if not 1 <= count <= logits.shape[-1]:
    raise ValueError(
      f"top_k={count} must be between 1 and {logits.shape[-1]}, the number of "
      "tokens to choose from."
    )
  threshold = jax.lax.top_k(logits, count)[0][..., -1:]
  return jnp.where(logits >= threshold, logits, DROPPED)


def keep_top_p(
  logits: Float[Array, "*n k"], mass: float
) -> Float[Array, "*n k"]:
  """Drops all but the fewest likeliest tokens that hold `mass` together.

  Ties with the last one that is kept are kept too (Holtzman et al.,
  https://arxiv.org/abs/1904.09751).

  Args:
    logits: Of the tokens.
    mass: In (0, 1].
  """
  if not 0 < mass <= 1:
    raise ValueError(f"top_p={mass} is a probability; use one in (0, 1].")
  if mass == 1:  # Rounding would drop the least likely.
    return logits
  ordered = jnp.sort(logits, axis=-1, descending=True)
  before = jnp.cumsum(jax.nn.softmax(ordered), axis=-1)
  before -= jax.nn.softmax(ordered)
  # The first token stays, whatever its probability.
  is_kept = (before < mass).at[..., 0].set(True)
  threshold = jnp.min(
    jnp.where(is_kept, ordered, jnp.inf), axis=-1, keepdims=True
  )
  return jnp.where(logits >= threshold, logits, DROPPED)


def sample_logits(
  rng: PRNGKeyArray,
  logits: Float[Array, "*n k"],
  *,
  temperature: float = 1.0,
  top_k: int | None = None,
  top_p: float | None = None,
) -> Int[Array, "*n"]:
  """Draws one token from each row of logits.

  Args:
    rng: Key of the draws.
    logits: Of the tokens.
    temperature: Divides the logits after the cut; 0 takes the likeliest.
    top_k: Draw among this many likeliest tokens; not with `top_p`.
    top_p: Draw among the likeliest that hold this probability.
  """
  if top_k is not None and top_p is not None:
    raise ValueError(
      f"top_k={top_k} and top_p={top_p} cannot both cut the tokens; use one."
    )
  if top_k is not None:
    logits = keep_top_k(logits, top_k)
  if top_p is not None:
    logits = keep_top_p(logits, top_p)
  if temperature == 0:
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
  tokens = jax.random.categorical(rng, logits / temperature)
  return tokens.astype(jnp.int32)
