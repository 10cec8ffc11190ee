"""The discriminator's loss and gradients in a step of the tokenizer stage."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from magvit3d.config.training import TokenizerLossConfig
from magvit3d.training import losses

METRICS = (
  "d_loss",
  "d_adversarial_loss",
  "r1_penalty",
  "real_logit",
  "fake_logit",
)


def gradients(
  discriminate: Callable[[PyTree, Float[Array, "b t h w 3"]], Array],
  settings: TokenizerLossConfig,
  d_params: PyTree,
  real: Float[Array, "b t h w 3"],
  fake: Float[Array, "b t h w 3"],
  logit_ema: Float[Array, "2"],
) -> tuple[PyTree, Float[Array, "2"], dict[str, Float[Array, ""]]]:
  """Gradients of the discriminator.

  Args:
    discriminate: Parameters and clips to logits.
    settings: `config.vqgan`.
    d_params: Its parameters.
    real: Clips, in [0, 1].
    fake: Their reconstructions.
    logit_ema: Moving averages of the mean logits of real and fake clips.

  Returns:
    grads: Of the shape of `d_params`.
    logit_means: Of real and fake clips.
    metrics: The terms of its loss, and the two means.
  """

  def objective(d_params):
    return _objective(
      lambda clips: discriminate(d_params, clips),
      settings,
      real,
      fake,
      logit_ema,
    )

  grads, (logit_means, metrics) = jax.grad(objective, has_aux=True)(d_params)
  return grads, logit_means, metrics


def _objective(discriminate, settings, real, fake, logit_ema):
  if settings.gradient_penalty == "r1":
    real_logits, penalty = losses.r1_penalty(discriminate, real)
  else:
    real_logits, penalty = discriminate(real), jnp.zeros(())
  fake_logits = discriminate(fake)
  adversarial = losses.discriminator_loss(
    real_logits, fake_logits, settings.loss_type
  )
  means = jnp.stack([jnp.mean(real_logits), jnp.mean(fake_logits)])
  loss = adversarial + settings.grad_penalty_cost * penalty
  if settings.lecam_weight:
    loss += settings.lecam_weight * losses.lecam(*means, *logit_ema)
  values = (loss, adversarial, penalty, *means)
  return loss, (means, dict(zip(METRICS, values, strict=True)))
