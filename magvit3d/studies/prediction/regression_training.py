"""Predictors that regress latents: of a frozen tokenizer, or with it."""

import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.errors import as_user_errors
from magvit3d.models.predictors import LatentRegressor, motion_network
from magvit3d.studies.prediction.predictor_training import PredictorTraining
from magvit3d.training.network_stage import NetworkStage


class RegressionTraining(PredictorTraining):
  """A transformer that regresses the future's codes, tokenizer frozen."""

  headline = ("loss", "loss_over_last")

  @functools.cached_property
  def network(self) -> LatentRegressor:
    """The transformer."""
    transformer, first = self.settings.transformer, self.clips.first
    return LatentRegressor(transformer, first, self.name == "pooled")

  @functools.cached_property
  def scale(self) -> float:
    """Root mean square of the codebook."""
    return float(np.sqrt(np.mean(self.clips.tokenizer.codebook**2)))

  def network_stage(self) -> NetworkStage:
    """Returns network, losses and optimizer."""
    with as_user_errors(ValueError):
      return NetworkStage(
        self.training,
        self.num_steps(),
        self._run.config.seed,
        self.init,
        self.loss,
        frozen=self.frozen(),
        headline=self.headline,
      )

  def init(self, rng: Array) -> PyTree:
    """Returns the first parameters."""
    dim = self.clips.tokenizer.vqvae.embedding_dim
    shown = jnp.zeros((1, *self.clips.grid, dim))
    return self.network.init(rng, shown)["params"]

  def frozen(self) -> PyTree:
    """Returns what the loss reads and nothing changes."""
    return {"codebook": jnp.asarray(self.clips.tokenizer.codebook)}

  def loss(
    self,
    params: PyTree,
    batch: Mapping[str, Array],
    frozen: PyTree,
    rng: Array,
  ) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Mean squared error of latents, in units of the codebook's mean square."""
    latents = self._latents(params, batch["cond_tokens"][:, 0], frozen, rng)
    losses = self._latent_losses(latents, batch, frozen["codebook"])
    return losses["loss"], losses

  def _latents(self, params, cond_tokens, frozen, rng=None):
    return self.network.apply(
      {"params": params},
      frozen["codebook"][cond_tokens] / self.scale,
      train=rng is not None,
      rngs=None if rng is None else {"dropout": rng},
    )

  def _latent_losses(self, latents, batch, codebook) -> dict[str, Array]:
    """Also relative to latents of zero, and to the last ones."""
    first = self.clips.first
    cond = batch["cond_tokens"][:, 0, first:]
    true = codebook[batch["tokens"][:, first:]] / self.scale
    loss = jnp.mean((latents - true) ** 2)
    last = jnp.mean((codebook[cond] / self.scale - true) ** 2)
    return {
      "loss": loss,
      "loss_over_zero": loss / jnp.mean(true**2),
      "loss_over_last": loss / last,
    }

  def latent_losses(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> dict[str, float]:
    """Returns losses of clips beside zero and the last latents."""
    made = self.map(
      lambda batch: self._score(params, batch),
      {
        "tokens": clips["tokens"],
        "cond_tokens": clips["cond_tokens"][:, None],
        "frames": clips["frames"],
      },
    )
    return {name: float(np.mean(values)) for name, values in made.items()}

  @functools.cached_property
  def _score(self):
    frozen = self.frozen()

    def score(params, batch):
      latents = self._told(params, batch, frozen)
      first, codebook = self.clips.first, frozen["codebook"]
      true = codebook[batch["tokens"][:, first:]] / self.scale
      last = codebook[batch["cond_tokens"][:, 0, first:]] / self.scale
      return {
        name: jnp.mean((guess - true) ** 2, axis=(1, 2, 3, 4))
        for name, guess in {
          "network": latents,
          "zero": jnp.zeros(()),
          "last": last,
        }.items()
      }

    return jax.jit(score)

  def _told(self, params, batch, frozen):
    """Latents that the network tells of a batch without tokens."""
    return self._latents(params, batch["cond_tokens"][:, 0], frozen)

  def predict(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> Float[np.ndarray, "n t h w 3"]:
    """Returns clips, decoded from latents as they are."""
    return self.map(
      lambda batch: self._forward(params, self._tokenizer_params, batch),
      {
        "cond_tokens": clips["cond_tokens"][:, None],
        "frames": clips["frames"],
      },
    )

  @property
  def _tokenizer_params(self) -> PyTree:
    return self.clips.tokenizer.params

  @functools.cached_property
  def _forward(self):
    frozen = self.frozen()

    def forward(params, tokenizer_params, batch):
      latents = self._latents(params, batch["cond_tokens"][:, 0], frozen)
      first = self.clips.first
      given = frozen["codebook"][batch["cond_tokens"][:, 0, :first]]
      codes = jnp.concatenate([given, latents * self.scale], axis=1)
      made = self.clips.tokenizer.network.apply(
        {"params": tokenizer_params}, codes, method="decode"
      )
      return jnp.clip(made, 0, 1)

    return jax.jit(forward)


class GuidedTraining(RegressionTraining):
  """The same, guided by features of motion, while the tokenizer learns too.

  The tokenizer's parameters are the given ones and a change, which starts at
  zero; the change counts `tokenizer_rate` times, and with it its steps.
  """

  with_frames = True
  headline = ("loss", "loss_over_last", "pixel_loss", "motion_loss")

  @functools.cached_property
  def motion(self):
    """The network that makes features of motion."""
    return motion_network(self.name, self.settings)

  @property
  def _num_shown(self) -> int:
    """Frames that encoder and motion network see, in whole latent frames."""
    num_frames = self._run.data.clip_shape[0]
    return self.clips.num_given * num_frames // self.clips.grid[0]

  def init(self, rng: Array) -> PyTree:
    """Returns the first parameters of all three."""
    motion_rng, rng = jax.random.split(rng)
    _, *image_shape = self._run.data.clip_shape
    frames = jnp.zeros((1, self._num_shown, *image_shape))
    motion = self.motion.init(motion_rng, frames)["params"]
    dim = self.clips.tokenizer.vqvae.embedding_dim
    regressor = self.network.init(
      rng,
      jnp.zeros((1, *self.clips.grid, dim)),
      jnp.zeros((1, self.settings.motion_features)),
    )
    return {
      "regressor": regressor["params"],
      "motion": motion,
      "tokenizer": jax.tree.map(jnp.zeros_like, self.clips.tokenizer.params),
    }

  def frozen(self) -> PyTree:
    """Returns what the loss reads and nothing changes."""
    return super().frozen() | {"tokenizer": self.clips.tokenizer.params}

  def loss(
    self,
    params: PyTree,
    batch: Mapping[str, Array],
    frozen: PyTree,
    rng: Array,
  ) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Errors of latents, of pixels, and of motion within a clip."""
    settings, given = self.settings, self.settings.given_frames
    frames = to_unit_range(batch["frames"])
    latents, codes, tokenizer = self._told_latents(params, frames, frozen, rng)
    losses = self._latent_losses(latents, batch, frozen["codebook"])
    count = max(1, math.ceil(settings.pixel_share * len(frames)))
    made = self._decoded(tokenizer, codes[:count], latents[:count])
    is_object = (batch["masks"][:count] > 0)[..., None]
    weights = 1 + (settings.foreground_weight - 1) * is_object
    errors = made - frames[:count]
    pixels = jnp.mean((weights * errors**2)[:, given:])
    # Of neighbours in one clip; its first predicted frame follows a given one.
    errors = errors.at[:, :given].set(0)
    changes = errors[:, given:] - errors[:, given - 1 : -1]
    motion = jnp.mean(weights[:, given:] * changes**2)
    loss = (
      losses["loss"]
      + settings.pixel_weight * pixels
      + settings.motion_weight * motion
    )
    return loss, losses | {"pixel_loss": pixels, "motion_loss": motion}

  def _told_latents(self, params, frames, frozen, rng=None):
    """Latents of the future, codes of what is given, and the tokenizer."""
    rate = self.settings.tokenizer_rate
    tokenizer = jax.tree.map(
      lambda given, change: given + rate * change,
      frozen["tokenizer"],
      params["tokenizer"],
    )
    given = self.settings.given_frames
    padding = [(0, 0)] * frames.ndim
    padding[1] = (0, self._num_shown - given)
    shown = jnp.pad(frames[:, :given], padding, mode="edge")
    codes = self.clips.tokenizer.network.apply(
      {"params": tokenizer},
      shown,
      method=lambda network, clips: (
        network.quantizer(network.features(clips), train=True).codes
      ),
    )
    padding[1] = (0, self.clips.grid[0] - codes.shape[1])
    features = self.motion.apply({"params": params["motion"]}, shown)
    latents = self.network.apply(
      {"params": params["regressor"]},
      jnp.pad(codes, padding, mode="edge") / self.scale,
      features.mean(axis=1),
      train=rng is not None,
      rngs=None if rng is None else {"dropout": rng},
    )
    return latents, codes, tokenizer

  def _decoded(self, tokenizer, codes, latents):
    first = self.clips.first
    whole = jnp.concatenate([codes[:, :first], latents * self.scale], axis=1)
    return self.clips.tokenizer.network.apply(
      {"params": tokenizer}, whole, method="decode"
    )

  def _told(self, params, batch, frozen):
    return self._told_latents(params, to_unit_range(batch["frames"]), frozen)[0]

  @functools.cached_property
  def _forward(self):
    frozen = super().frozen()

    def forward(params, tokenizer_params, batch):
      frames = to_unit_range(batch["frames"])
      latents, codes, tokenizer = self._told_latents(
        params, frames, frozen | {"tokenizer": tokenizer_params}
      )
      return jnp.clip(self._decoded(tokenizer, codes, latents), 0, 1)

    return jax.jit(forward)
