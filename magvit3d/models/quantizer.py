"""Vector quantizer: turns encoder features into discrete video tokens."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

ENTROPY_LOSS_TYPES = ("softmax", "argmax")
_LOSSES = "quantizer_loss", "e_latent_loss", "q_latent_loss", "entropy_loss"


@flax.struct.dataclass
class Quantized:
  """What the quantizer returns; `cells` are the latent axes.

  Attributes:
    codes: (b, *cells, d) chosen codebook rows, carrying the gradient of the
      features.
    tokens: (b, *cells) their row numbers, int32 in [0, codebook_size).
    latents: (b, *cells, d) the features, l2-normalised where asked.
    losses: Scalars `quantizer_loss` and its three parts `e_latent_loss`,
      `q_latent_loss`, `entropy_loss`; each has its weight in it.
  """

  codes: Float[Array, "b *cells d"]
  tokens: Int[Array, " b *cells"]
  latents: Float[Array, "b *cells d"]
  losses: dict[str, Float[Array, ""]]


def squared_distances(
  rows: Float[Array, "n d"], codebook: Float[Array, "k d"]
) -> Float[Array, "n k"]:
  """Squared distance of each row to each code, float32, highest precision."""
  rows, codebook = rows.astype(jnp.float32), codebook.astype(jnp.float32)
  products = jnp.matmul(rows, codebook.T, precision=jax.lax.Precision.HIGHEST)
  return (
    jnp.sum(rows**2, axis=-1, keepdims=True)
    - 2 * products
    + jnp.sum(codebook**2, axis=-1)[None]
  )


def look_up(codebook: Array, tokens: Array) -> Array:
  """Returns the rows (*cells, d) of `tokens` (*cells) in [0, k)."""
  return codebook[tokens]


def entropy_loss(
  affinity: Float[Array, "n k"], temperature: float, loss_type: str
) -> Float[Array, ""]:
  """Low for confident rows that together use all codes.

  Mean entropy of the rows' softmax minus the entropy of their mean
  (MaskGIT, https://arxiv.org/abs/2202.04200). With 'argmax' the rows are
  one-hot and the gradient is the softmax's.
  """
  affinity = affinity / temperature
  probabilities = jax.nn.softmax(affinity)
  log_probabilities = jax.nn.log_softmax(affinity + 1e-5)
  if loss_type == "softmax":
    targets = probabilities
  elif loss_type == "argmax":
    one_hot = jax.nn.one_hot(
      jnp.argmax(affinity, axis=-1), affinity.shape[-1], dtype=affinity.dtype
    )
    targets = probabilities + jax.lax.stop_gradient(one_hot - probabilities)
  else:
    raise ValueError(
      f"vqvae.entropy_loss_type={loss_type!r} is unknown; use one of "
      f"{', '.join(ENTROPY_LOSS_TYPES)}."
    )
  mean = jnp.mean(targets, axis=0)
  row_entropy = -jnp.mean(jnp.sum(targets * log_probabilities, axis=-1))
  return row_entropy + jnp.sum(mean * jnp.log(mean + 1e-5))


def _normalize(x: Array) -> Array:
  squares = jnp.sum(x**2, axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))


class VectorQuantizer(nn.Module):
  """Replaces each feature vector by its nearest codebook row.

  Gradients pass straight through to the encoder (van den Oord et al., 2017,
  https://arxiv.org/abs/1711.00937, section 3.2).

  Attributes:
    codebook_size: Number of codes, k.
    commitment_cost: Weight of the term that pulls features to their code.
    embedding_loss_ratio: Weight of the term that pulls codes to features.
    entropy_loss_ratio: Weight of `entropy_loss`; 0 leaves it out.
    entropy_temperature: Temperature of its softmax.
    entropy_loss_type: 'softmax' or 'argmax'.
    latent_normalize: Compare directions: features and codes on the unit
      sphere. The returned codes are the codebook's rows as they are.
  """

  codebook_size: int
  commitment_cost: float = 0.25
  embedding_loss_ratio: float = 1.0
  entropy_loss_ratio: float = 0.0
  entropy_temperature: float = 0.01
  entropy_loss_type: str = "softmax"
  latent_normalize: bool = False

  @nn.compact
  def __call__(
    self, features: Float[Array, "b *cells d"], *, train: bool = False
  ) -> Quantized:
    """Quantizes a grid of features; losses are 0 unless `train`."""
    codebook = self.param(
      "codebook",
      nn.initializers.variance_scaling(1.0, "fan_in", "uniform"),
      (self.codebook_size, features.shape[-1]),
    )
    latents = features.astype(jnp.float32)
    keys = codebook
    if self.latent_normalize:
      latents, keys = _normalize(latents), _normalize(codebook)
    distances = squared_distances(latents.reshape(-1, latents.shape[-1]), keys)
    tokens = jnp.argmin(distances, axis=-1).astype(jnp.int32)
    tokens = tokens.reshape(features.shape[:-1])
    codes = look_up(codebook, tokens)
    losses = dict.fromkeys(_LOSSES, jnp.zeros(()))
    if train:
      losses = self._losses(latents, codes, distances)
      codes = latents + jax.lax.stop_gradient(codes - latents)
    return Quantized(codes, tokens, latents, losses)

  def _losses(self, latents, codes, distances) -> dict[str, Array]:
    stop = jax.lax.stop_gradient
    losses = {
      "e_latent_loss": self.commitment_cost
      * jnp.mean((stop(codes) - latents) ** 2),
      "q_latent_loss": self.embedding_loss_ratio
      * jnp.mean((codes - stop(latents)) ** 2),
      "entropy_loss": jnp.zeros(()),
    }
    if self.entropy_loss_ratio:
      losses["entropy_loss"] = self.entropy_loss_ratio * entropy_loss(
        -distances, self.entropy_temperature, self.entropy_loss_type
      )
    return losses | {"quantizer_loss": sum(losses.values())}

  def decode_tokens(
    self, tokens: Int[Array, " b *cells"]
  ) -> Float[Array, "b *cells d"]:
    """Looks up the codebook's rows; `tokens` in [0, codebook_size)."""
    return look_up(self.get_variable("params", "codebook"), tokens)
