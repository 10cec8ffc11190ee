"""Tests of the losses against NumPy formulas, and of the discriminator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models.discriminator import Discriminator
from magvit3d.training import losses


@pytest.fixture(scope="module")
def logits():
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.normal(size=(5, 1)), jnp.float32) for _ in range(2)]


def test_non_saturating_losses_are_binary_cross_entropies(logits):
  real, fake = (1 / (1 + np.exp(-np.asarray(x, np.float64))) for x in logits)
  np.testing.assert_allclose(
    losses.discriminator_loss(*logits, "non-saturating"),
    np.mean(-np.log(real)) + np.mean(-np.log(1 - fake)),
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    losses.generator_loss(logits[1], "non-saturating"),
    np.mean(-np.log(fake)),
    rtol=1e-6,
  )


def test_hinge_losses_stop_at_the_margin(logits):
  real, fake = (np.asarray(x, np.float64) for x in logits)
  np.testing.assert_allclose(
    losses.discriminator_loss(*logits, "hinge"),
    np.mean(np.maximum(0, 1 - real)) + np.mean(np.maximum(0, 1 + fake)),
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    losses.generator_loss(logits[1], "hinge"), -np.mean(fake), rtol=1e-6
  )


def test_an_unknown_adversarial_loss_names_the_known_ones(logits):
  with pytest.raises(ValueError, match=r"loss_type='wgan' is unknown.*hinge"):
    losses.generator_loss(logits[1], "wgan")


@pytest.mark.parametrize(
  ("real", "fake", "expected"),
  [(0.5, -0.5, 0.49 + 0.64), (-1.0, 1.0, 0.0), (0.5, 1.0, 0.49)],
)
def test_lecam_punishes_logits_beyond_the_others_average(real, fake, expected):
  got = losses.lecam(*map(jnp.float32, (real, fake, 0.3, -0.2)))
  # relu(real - -0.2)^2 + relu(0.3 - fake)^2.
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_r1_penalty_of_a_polynomial_is_exact():
  clips = jax.random.normal(jax.random.key(0), (3, 2, 2, 2, 3))

  def discriminate(x):
    return jnp.sum(x**3, axis=(1, 2, 3, 4))[:, None]

  out, penalty = losses.r1_penalty(discriminate, clips)
  squares = np.sum((3 * np.asarray(clips, np.float64) ** 2) ** 2, (1, 2, 3, 4))
  np.testing.assert_allclose(penalty, squares.mean(), rtol=1e-5)
  np.testing.assert_array_equal(out, discriminate(clips))


def test_r1_penalty_is_the_slope_of_the_discriminator():
  model = Discriminator(filters=2, channel_multipliers=(1,))
  clips = jax.random.uniform(jax.random.key(0), (2, 2, 4, 4, 3))
  variables = jax.jit(model.init)(jax.random.key(1), clips)

  @jax.jit
  def penalty_and_slopes(clips):
    def one(clip):
      return model.apply(variables, clip[None])[0, 0]

    def discriminate(clips):
      return model.apply(variables, clips)

    gradients = jax.vmap(jax.grad(one))(clips)
    # Finite difference along the gradient: its norm, where logits are
    # linear between two kinks of the leaky relus.
    norms = jnp.sqrt(jnp.sum(gradients**2, axis=(1, 2, 3, 4)))
    unit = gradients / norms[:, None, None, None, None]
    step = 1e-2
    rise = discriminate(clips + step * unit) - discriminate(clips - step * unit)
    return losses.r1_penalty(discriminate, clips)[1], norms, rise / (2 * step)

  penalty, norms, slopes = penalty_and_slopes(clips)
  np.testing.assert_allclose(penalty, np.mean(norms**2), rtol=1e-4)
  np.testing.assert_allclose(penalty, np.mean(slopes**2), rtol=0.05)


def test_foreground_weights_cover_a_square_around_each_mask():
  masks = np.zeros((1, 2, 6, 7), np.uint8)
  masks[0, 1, 0, 3] = 9
  got = losses.foreground_weights(jnp.asarray(masks), 5.0)
  expected = np.ones(masks.shape)
  expected[0, 1, :3, 1:6] = 5
  np.testing.assert_array_equal(got, expected)


def test_foreground_weight_one_weighs_every_pixel_alike():
  masks = jnp.asarray(np.random.default_rng(0).integers(0, 2, (1, 2, 4, 4)))
  np.testing.assert_array_equal(losses.foreground_weights(masks, 1.0), 1)


def test_cross_entropy_is_a_weighted_mean_per_clip_then_over_clips():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(3, 4, 6))
  targets = rng.integers(0, 6, (3, 4))
  weights = np.array([[1, 0, 0, 0], [1, 1, 0.5, 1], [0, 0, 0, 0]])
  smoothing, k = 0.2, 6
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  per_clip = []
  for clip in range(2):
    total = 0.0
    for n in range(4):
      aims = np.full(k, smoothing / k)
      aims[targets[clip, n]] += 1 - smoothing
      total -= weights[clip, n] * aims @ log_p[clip, n]
    per_clip.append(total / weights[clip].sum())
  targets[0, 1] = -1  # Weight 0: any target will do.
  got = losses.masked_cross_entropy(
    jnp.asarray(logits, jnp.float32),
    jnp.asarray(targets),
    jnp.asarray(weights, jnp.float32),
    smoothing,
  )
  # The third clip has no weight, hence no loss.
  np.testing.assert_allclose(got, sum(per_clip) / 3, rtol=1e-5)
