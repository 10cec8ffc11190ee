"""Tokenizer stage: a VQGAN on clips.

MAGVIT (https://arxiv.org/abs/2212.05199, appendix A): one forward pass serves
generator and discriminator, both step from the same state, and a moving
average of the generator is what everything afterwards uses.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree, UInt8

from magvit3d.config.run import RunConfig
from magvit3d.config.training import InitialParametersConfig
from magvit3d.data.pixels import to_unit_range
from magvit3d.models.discriminator import Discriminator
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.parallel.sharding_rules import gather
from magvit3d.training import (
  batch_checks,
  codebook,
  discriminator_step,
  health,
  losses,
  state_metrics,
)
from magvit3d.training.accumulation import mean_over_parts
from magvit3d.training.frame_sampling import sampled_frames
from magvit3d.training.learning_rate import applied_rate, warmup_cosine
from magvit3d.training.optimizers import make_optimizer
from magvit3d.training.perceptual import load_perceptual_loss
from magvit3d.training.tokenizer_state import TokenizerState
from magvit3d.upstream import initial_trees


class TokenizerStage:
  """Builds the state and the step functions of the tokenizer stage.

  Args:
    config: The run's config; reads `vqvae`, `discriminator`, `vqgan`,
      `train_tokenizer`, `dtype` and `seed`.
    num_steps: Steps of the whole stage.
    clip_shape: (t, h, w, 3).
    codebook_frames: uint8 (b, t, h, w, 3), on whose encoder outputs the
      codebook starts; None leaves its random initial values.

  Raises:
    ValueError: Fields of the config do not go together.
    UserError: The weights of the perceptual loss are not usable.
  """

  headline = ("g_loss", "reconstruction_loss", "code_perplexity")

  def __init__(
    self,
    config: RunConfig,
    num_steps: int,
    clip_shape: tuple[int, int, int, int],
    codebook_frames: UInt8[np.ndarray, "b t h w 3"] | None = None,
  ):
    dtype = jnp.dtype(config.dtype)
    self.tokenizer = Tokenizer.from_config(config.vqvae, dtype)
    self.discriminator = Discriminator.from_config(
      config.discriminator, config.vqvae, dtype
    )
    self.settings = config.vqgan
    self.codebook_size = config.vqvae.codebook_size
    # Steps fold in their number; what happens once has keys of its own.
    keys = jax.random.split(jax.random.key(config.seed), 3)
    self._rng, self._init_rng, self._codebook_rng = keys
    self._clip_shape = clip_shape
    self._codebook_frames = codebook_frames
    self._initial_params = {}
    self._frame_index = sampled_frames(
      self.settings.num_train_sampled_frames, clip_shape[0]
    )
    self._steps = {
      is_playing: functools.partial(self.train_step, is_playing=is_playing)
      for is_playing in (False, True)
    }
    self.frozen = ()
    if self.settings.perceptual_loss_weight:
      self.frozen, self._perceptual_loss = load_perceptual_loss(
        self.settings, dtype
      )
    training = config.train_tokenizer
    self._num_parts = training.gradient_accumulation_steps

    def optimizer(rate):
      schedule = warmup_cosine(rate, training.warmup_steps, num_steps)
      return make_optimizer(schedule, training.optimizer), schedule

    self.g_optimizer, self._g_schedule = optimizer(training.g_lr)
    self.d_optimizer, self._d_schedule = optimizer(training.d_lr)

  def start_from(self, init_from: InitialParametersConfig) -> None:
    """Makes step 0 begin with the parameters of `config.init_from`, if any.

    Raises:
      UserError: The checkpoint is missing, damaged, or does not fit.
    """
    if init_from.checkpoint_path:
      fresh = jax.jit(self.init_state)()
      trees = {"g_params": fresh.g_params, "d_params": fresh.d_params}
      self._initial_params = initial_trees(init_from, trees, "tokenizer")

  def init_state(self) -> TokenizerState:
    """Returns the state before the first step."""
    g_rng, d_rng = jax.random.split(self._init_rng)
    clips = jnp.zeros((1, *self._clip_shape))
    g_params = self.tokenizer.init(g_rng, clips)["params"]
    d_params = self.discriminator.init(d_rng, clips)["params"]
    return TokenizerState(
      step=jnp.zeros((), jnp.int32),
      g_params=g_params,
      d_params=d_params,
      ema_params=jax.tree.map(jnp.copy, g_params),
      g_opt_state=self.g_optimizer.init(g_params),
      d_opt_state=self.d_optimizer.init(d_params),
      code_counts=jnp.zeros(self.codebook_size, jnp.int32),
      logit_ema=jnp.zeros(2),
      health=health.healthy(),
    )

  def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
    """Raises UserError if clips or masks do not fit."""
    batch_checks.check_frames(batch, self._clip_shape)

  def has_quantized(self, state: TokenizerState) -> bool:
    """Whether the codebook has been in use."""
    return int(state.step) > self.settings.quantizer_start_step

  def before_step(self, state: TokenizerState, step: int) -> TokenizerState:
    """Puts in initial parameters, and the codebook just before its first use.

    A codebook starts on encoder outputs.
    """
    if step == 0 and self._initial_params:
      state = state.replace(**self._initial_params)
      average = jax.tree.map(jnp.copy, state.g_params)
      state = state.replace(ema_params=average)
    is_first = step == self.settings.quantizer_start_step
    if self._codebook_frames is None or not is_first:
      return state
    return jax.jit(self._init_codebook)(state, self._codebook_frames)

  def _init_codebook(self, state, frames):
    features = self.tokenizer.apply(
      {"params": state.g_params}, to_unit_range(frames), method="features"
    )
    rows = codebook.spread_rows(
      self._codebook_rng,
      features.reshape(-1, features.shape[-1]),
      self.codebook_size,
    )
    return state.replace(
      g_params=codebook.with_rows(state.g_params, rows),
      ema_params=codebook.with_rows(state.ema_params, rows),
      code_counts=jnp.zeros_like(state.code_counts),
    )

  def step_function(self, step: int) -> Callable:
    """Returns `train_step` for the step after `step` others.

    While the discriminator waits it is another program, and not a branch of the
    same one: XLA computes the gradients of convolutions in branches slowly on
    CPUs, and gathers activations of all devices for them on GPUs.
    """
    start = self.settings.discriminator_start_step
    return self._steps[start is not None and step >= start]

  def train_step(
    self,
    state: TokenizerState,
    batch: Mapping[str, Array],
    frozen: PyTree = (),
    *,
    is_playing: bool = True,
  ) -> tuple[TokenizerState, dict[str, Float[Array, ""]]]:
    """One step of both players.

    Args:
      state: The state before.
      batch: `frames` uint8 (b, t, h, w, 3) and `masks` uint8 (b, t, h, w),
        not 0 on the objects.
      frozen: `self.frozen`, the network of the perceptual loss if any.
      is_playing: Whether the discriminator has begun to learn, if there is one.
    """
    is_playing = is_playing and self._has_discriminator
    (grads, logit_means, metrics), quantized = self.gradients(
      state, batch, frozen, is_playing=is_playing
    )
    metrics |= {
      "g_grad_norm": optax.tree.norm(grads["g_params"]),
      "g_learning_rate": applied_rate(self._g_schedule, state.g_opt_state),
    }
    if is_playing:
      metrics |= {
        "d_grad_norm": optax.tree.norm(grads["d_params"]),
        "d_learning_rate": applied_rate(self._d_schedule, state.d_opt_state),
      }
    elif self._has_discriminator:
      metrics |= dict.fromkeys(
        ("d_grad_norm", "d_learning_rate"), jnp.zeros(())
      )
    state, metrics = self._update_generator(state, grads, quantized, metrics)
    if is_playing:
      state = self._update_discriminator(state, grads, logit_means)
    state = state.replace(step=state.step + 1)
    state, metrics = self._reset_dead_codes(state, quantized, metrics)
    norms = state_metrics.parameter_norms(state)
    if not self._has_discriminator:
      del norms["d_param_norm"]
    return state, metrics | norms

  @property
  def _has_discriminator(self) -> bool:
    return self.settings.discriminator_start_step is not None

  def gradients(
    self,
    state: TokenizerState,
    batch: Mapping[str, Array],
    frozen: PyTree = (),
    *,
    is_playing: bool = True,
  ) -> tuple[tuple, dict[str, Array]]:
    """Gradients of both players, in parts if the config says so.

    Arguments as of `train_step`. Terms that are no means over clips (entropy,
    LeCam) are those of the parts, averaged.

    Returns:
      values: Gradients by the state's field, means of the discriminator's real
        and fake logits (2,) if it plays, metrics.
      quantized: `tokens` and `latents` of the quantizer.
    """
    used = {key: batch[key] for key in ("frames", "masks")}
    return mean_over_parts(
      lambda part, _: self._part_gradients(state, part, frozen, is_playing),
      used,
      self._num_parts,
    )

  def _part_gradients(self, state, batch, frozen, is_playing):
    settings = self.settings
    frames, masks = batch["frames"], batch["masks"]
    if self._frame_index is not None:
      frames = frames[:, self._frame_index]
      masks = masks[:, self._frame_index]
    real = to_unit_range(frames)
    weight = losses.foreground_weights(masks, settings.foreground_weight)
    is_quantizing = state.step >= settings.quantizer_start_step
    discriminate = self._discriminate

    def generator_objective(g_params):
      out = self.tokenizer.apply(
        {"params": gather(g_params)},
        real,
        train=True,
        is_quantizing=is_quantizing,
      )
      fake = out.reconstruction
      error = (real - fake) ** 2
      reconstruction = jnp.mean(error * weight[..., None])
      quantized = out.quantized
      metrics = quantized.losses | {"reconstruction_loss": jnp.mean(error)}
      loss = reconstruction
      adversarial = jnp.zeros(())
      if is_playing:
        adversarial = losses.generator_loss(
          discriminate(state.d_params, fake), settings.loss_type
        )
        loss += settings.g_adversarial_loss_weight * adversarial
      if self._has_discriminator:
        metrics["g_adversarial_loss"] = adversarial
      loss += is_quantizing * quantized.losses["quantizer_loss"]
      extra = self._extra_losses(state.step, real, fake, quantized, frozen)
      loss += sum(extra.values())
      return loss, (fake, quantized, metrics | extra | {"g_loss": loss})

    (_, (fake, quantized, metrics)), g_grads = jax.value_and_grad(
      generator_objective, has_aux=True
    )(state.g_params)
    rows = {"tokens": quantized.tokens, "latents": quantized.latents}
    if not is_playing:
      if self._has_discriminator:
        names = discriminator_step.METRICS
        metrics |= dict.fromkeys(names, jnp.zeros(()))
      return ({"g_params": g_grads}, (), metrics), rows
    d_grads, logit_means, d_metrics = discriminator_step.gradients(
      discriminate,
      settings,
      state.d_params,
      real,
      jax.lax.stop_gradient(fake),
      state.logit_ema,
    )
    grads = {"g_params": g_grads, "d_params": d_grads}
    return (grads, logit_means, metrics | d_metrics), rows

  def _extra_losses(
    self, step, real, fake, quantized, frozen
  ) -> dict[str, Array]:
    """Weighted terms of the generator that some configs switch on."""
    settings, extra = self.settings, {}
    if settings.perceptual_loss_weight:
      extra["perceptual_loss"] = (
        settings.perceptual_loss_weight
        * self._perceptual_loss(frozen, real, fake)
      )
    if settings.entropy_loss_enlarge_ratio:
      left = jnp.maximum(0, 1 - step / settings.entropy_loss_enlarge_steps)
      left *= step >= settings.quantizer_start_step
      extra["enlarged_entropy_loss"] = (
        settings.entropy_loss_enlarge_ratio
        * left
        * quantized.losses["entropy_loss"]
      )
    return extra

  def _discriminate(self, d_params, clips):
    return self.discriminator.apply({"params": gather(d_params)}, clips)

  def _update_generator(self, state, grads, quantized, metrics):
    g_grads = grads["g_params"]
    if self.settings.finetune_decoder:
      g_grads = _decoder_only(g_grads)
    g_updates, g_opt_state = self.g_optimizer.update(
      g_grads, state.g_opt_state, state.g_params
    )
    if self.settings.finetune_decoder:
      g_updates = _decoder_only(g_updates)  # No weight decay elsewhere.
    g_params = optax.apply_updates(state.g_params, g_updates)
    ema_params = optax.incremental_update(
      g_params, state.ema_params, 1.0 - self.settings.polyak_decay
    )
    counts = jnp.bincount(
      quantized["tokens"].ravel(), length=self.codebook_size
    )
    code_counts = state.code_counts + counts
    metrics |= {
      "code_perplexity": codebook.perplexity(counts),
      "code_usage": state_metrics.code_usage(counts),
      "dead_codes": state_metrics.num_dead_codes(code_counts),
    }
    state = state.replace(
      g_params=g_params,
      ema_params=ema_params,
      g_opt_state=g_opt_state,
      code_counts=code_counts,
    )
    return state, metrics

  def _update_discriminator(self, state, grads, logit_means):
    decay = self.settings.polyak_decay
    d_updates, d_opt_state = self.d_optimizer.update(
      grads["d_params"], state.d_opt_state, state.d_params
    )
    return state.replace(
      d_params=optax.apply_updates(state.d_params, d_updates),
      d_opt_state=d_opt_state,
      logit_ema=decay * state.logit_ema + (1 - decay) * logit_means,
    )

  def _reset_dead_codes(self, state, quantized, metrics):
    period = self.settings.dead_code_reset_steps
    if period is None:
      return state, metrics
    steps_in_use = state.step - self.settings.quantizer_start_step
    is_due = (steps_in_use > 0) & (steps_in_use % period == 0)
    rows = state.g_params["quantizer"]["codebook"]
    features = quantized["latents"].reshape(-1, rows.shape[-1])
    rng = jax.random.fold_in(self._rng, state.step)

    def reset(state):
      moved, num_dead = codebook.replace_dead_rows(
        rng, rows, state.code_counts, jax.lax.stop_gradient(features)
      )
      is_moved = jnp.any(moved != rows, axis=-1, keepdims=True)
      average = state.ema_params["quantizer"]["codebook"]
      average = jnp.where(is_moved, moved, average)
      state = state.replace(
        g_params=codebook.with_rows(state.g_params, moved),
        ema_params=codebook.with_rows(state.ema_params, average),
        code_counts=jnp.zeros_like(state.code_counts),
      )
      return state, num_dead.astype(jnp.float32)

    state, num_dead = jax.lax.cond(
      is_due, reset, lambda state: (state, jnp.zeros(())), state
    )
    return state, metrics | {"codes_reset": num_dead}


def _decoder_only(tree: PyTree) -> PyTree:
  """Zeros outside the decoder."""
  zeros = jax.tree.map(jnp.zeros_like, tree)
  return zeros | {"decoder": tree["decoder"]}
