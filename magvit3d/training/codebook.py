"""Keeping all rows of a codebook in use.

Both helps are this project's, off in upstream's configs: rows start at encoder
outputs instead of noise, and rows that no cell chose for a while move to where
quantization is worst.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from magvit3d.models.quantizer import squared_distances


def spread_rows(
  rng: PRNGKeyArray, features: Float[Array, "n d"], num_rows: int
) -> Float[Array, "k d"]:
  """Picks features that lie far from one another.

  The seeding of k-means++ (Arthur & Vassilvitskii, 2007): each next one is
  drawn with probability proportional to its squared distance to the nearest
  one picked so far.
  """
  features = features.astype(jnp.float32)
  first_rng, rng = jax.random.split(rng)
  first = features[jax.random.randint(first_rng, (), 0, features.shape[0])]

  def pick(carry, index):
    nearest, row = carry
    distance = jnp.sum((features - row[None]) ** 2, axis=-1)
    nearest = jnp.minimum(nearest, distance)
    choice = jax.random.categorical(
      jax.random.fold_in(rng, index), jnp.log(nearest + 1e-12)
    )
    return (nearest, features[choice]), row

  start = (jnp.full(features.shape[0], jnp.inf), first)
  _, rows = jax.lax.scan(pick, start, jnp.arange(num_rows))
  return rows


def replace_dead_rows(
  rng: PRNGKeyArray,
  codebook: Float[Array, "k d"],
  counts: Int[Array, " k"],
  features: Float[Array, "n d"],
) -> tuple[Float[Array, "k d"], Int[Array, ""]]:
  """Moves rows that were never chosen onto badly quantized features.

  Args:
    rng: Key of the draws.
    codebook: All rows.
    counts: How often each was chosen since the last call.
    features: Encoder outputs of one batch; each is drawn with probability
      proportional to its squared distance to the nearest row.

  Returns:
    codebook: With the dead rows replaced.
    num_dead: How many there were.
  """
  is_dead = counts == 0
  error = jnp.min(squared_distances(features, codebook), axis=-1)
  choice = jax.random.categorical(
    rng, jnp.log(jnp.maximum(error, 1e-12)), shape=counts.shape
  )
  moved = jnp.where(is_dead[:, None], features[choice], codebook)
  return moved, jnp.sum(is_dead)


def perplexity(counts: Int[Array, " k"]) -> Float[Array, ""]:
  """Number of codes that would be as evenly used: exp of the entropy."""
  share = counts / jnp.sum(counts)
  return jnp.exp(-jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12))))


def with_rows(params: PyTree, rows: Float[Array, "k d"]) -> PyTree:
  """Returns the generator's parameters with another codebook."""
  return params | {"quantizer": {"codebook": rows}}
