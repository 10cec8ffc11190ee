"""Losses of tokenizer, discriminator and transformer, as MAGVIT's.

Logits and losses are float32; every function returns a scalar unless said.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Integer

ADVERSARIAL_LOSSES = ("non-saturating", "hinge")


def _check_kind(kind: str) -> None:
  if kind not in ADVERSARIAL_LOSSES:
    raise ValueError(
      f"vqgan.loss_type={kind!r} is unknown; use one of "
      f"{', '.join(ADVERSARIAL_LOSSES)}."
    )


def foreground_weights(
  masks: Integer[Array, "b t h w"], weight: float, radius: int = 2
) -> Float[Array, "b t h w"]:
  """`weight` within `radius` pixels (a square) of a mask, 1 elsewhere."""
  width = 2 * radius + 1
  is_near = jax.lax.reduce_window(
    (masks > 0).astype(jnp.float32),
    0.0,
    jax.lax.max,
    window_dimensions=(1, 1, width, width),
    window_strides=(1, 1, 1, 1),
    padding="SAME",
  )
  return 1.0 + (weight - 1.0) * is_near


def discriminator_loss(
  real_logits: Float[Array, "b *t 1"],
  fake_logits: Float[Array, "b *t 1"],
  kind: str,
) -> Float[Array, ""]:
  """Low where real clips score high and fake ones low."""
  _check_kind(kind)
  if kind == "hinge":
    real = jax.nn.relu(1 - real_logits)
    fake = jax.nn.relu(1 + fake_logits)
  else:
    real = jax.nn.softplus(-real_logits)
    fake = jax.nn.softplus(fake_logits)
  return jnp.mean(real) + jnp.mean(fake)


def generator_loss(
  fake_logits: Float[Array, "b *t 1"], kind: str
) -> Float[Array, ""]:
  """Low where fake clips score high."""
  _check_kind(kind)
  if kind == "hinge":
    return -jnp.mean(fake_logits)
  return jnp.mean(jax.nn.softplus(-fake_logits))


def r1_penalty(
  discriminate: Callable[[Array], Float[Array, "b *t 1"]],
  real: Float[Array, "b t h w c"],
) -> tuple[Float[Array, "b *t 1"], Float[Array, ""]]:
  """Squared norm of d logit / d clip on real clips, averaged over clips.

  Mescheder et al., https://arxiv.org/abs/1801.04406, equation 9, without its
  factor 1/2. Logits of a clip's frames are added up before.

  Returns:
    real_logits: From the same pass.
    penalty: Scalar.
  """
  real_logits, pull_back = jax.vjp(discriminate, jnp.asarray(real))
  (gradient,) = pull_back(jnp.ones_like(real_logits))
  squares = jnp.sum(gradient**2, axis=range(1, gradient.ndim))
  return real_logits, jnp.mean(squares)


def lecam(
  real_mean: Float[Array, ""],
  fake_mean: Float[Array, ""],
  ema_real: Float[Array, ""],
  ema_fake: Float[Array, ""],
) -> Float[Array, ""]:
  """LeCam regulariser of mean logits against their moving averages.

  Tseng et al., https://arxiv.org/abs/2104.03310, equation 4.
  """
  return (
    jax.nn.relu(real_mean - ema_fake) ** 2
    + jax.nn.relu(ema_real - fake_mean) ** 2
  )


def masked_cross_entropy(
  logits: Float[Array, "b n k"],
  targets: Int[Array, "b n"],
  weights: Float[Array, "b n"],
  label_smoothing: float,
) -> Float[Array, ""]:
  """Mean of `masked_cross_entropies`."""
  return jnp.mean(
    masked_cross_entropies(logits, targets, weights, label_smoothing)
  )


def masked_cross_entropies(
  logits: Float[Array, "b n k"],
  targets: Int[Array, "b n"],
  weights: Float[Array, "b n"],
  label_smoothing: float,
) -> Float[Array, " b"]:
  """Mean cross entropy over the weighted positions of each clip.

  Targets are (1 - s) one-hot + s / k for s = `label_smoothing`. Positions of
  weight 0 may hold any target.
  """
  num_targets = logits.shape[-1]
  one_hot = jax.nn.one_hot(targets, num_targets, dtype=logits.dtype)
  smooth = optax.smooth_labels(one_hot, label_smoothing)
  losses = optax.softmax_cross_entropy(logits, smooth)
  return jnp.sum(losses * weights, axis=1) / (jnp.sum(weights, axis=1) + 1e-8)
