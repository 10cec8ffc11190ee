"""Predictors that regress latents: of a frozen tokenizer, or with it."""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Shaped

from magvit3d.data.pixels import to_unit_range
from magvit3d.models.predictors import LatentRegressor, motion_network
from magvit3d.studies.prediction.predictor_training import PredictorTraining
from magvit3d.studies.study_training import NetworkTraining


class RegressionTraining(NetworkTraining, PredictorTraining):
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

  @functools.cached_property
  def frozen(self) -> PyTree:
    """Codebook and tokenizer."""
    tokenizer = self.clips.tokenizer
    codebook = jnp.asarray(tokenizer.codebook)
    return {"codebook": codebook, "tokenizer": tokenizer.params}

  def init(self, rng: Array) -> PyTree:
    """Returns the first parameters."""
    dim = self.clips.tokenizer.vqvae.embedding_dim
    shown = jnp.zeros((1, *self.clips.grid, dim))
    return self.network.init(rng, shown)["params"]

  def loss(
    self,
    params: PyTree,
    batch: Mapping[str, Array],
    frozen: PyTree,
    rng: Array,
  ) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Mean squared error of latents, in units of the codebook's mean square."""
    latents, *_ = self._told(params, batch, frozen, rng)
    losses = self._latent_losses(latents, batch, frozen["codebook"])
    return losses["loss"], losses

  def _latent_losses(self, latents, batch, codebook) -> dict[str, Array]:
    """Also relative to latents of zero, and to the last ones."""
    errors = self._latent_errors(latents, batch, codebook)
    loss, zero, last = (jnp.mean(values) for values in errors.values())
    return {
      "loss": loss,
      "loss_over_zero": loss / zero,
      "loss_over_last": loss / last,
    }

  def _latent_errors(self, latents, batch, codebook) -> dict[str, Array]:
    """Mean squared errors (b,) of the network, of zero and the last latents."""
    first = self.clips.first
    last, true = (
      codebook[tokens[:, first:]] / self.scale
      for tokens in (batch["cond_tokens"][:, 0], batch["tokens"])
    )
    guesses = {"network": latents, "zero": jnp.zeros_like(true), "last": last}
    return {
      name: jnp.mean((guess - true) ** 2, axis=(1, 2, 3, 4))
      for name, guess in guesses.items()
    }

  def _told(
    self, params, batch, frozen, rng=None
  ) -> tuple[Array, Array, PyTree]:
    """Latents of the future, codes of what is shown, and the tokenizer."""
    codes = frozen["codebook"][batch["cond_tokens"][:, 0]]
    latents = self._regressed(params, codes, None, rng)
    return latents, codes, frozen["tokenizer"]

  def _regressed(self, params, codes, motion, rng) -> Array:
    return self.network.apply(
      {"params": params},
      codes / self.scale,
      motion,
      train=rng is not None,
      rngs=None if rng is None else {"dropout": rng},
    )

  def _decoded(self, latents, codes, tokenizer) -> Array:
    given = codes[:, : self.clips.first]
    return self.clips.tokenizer.network.apply(
      {"params": tokenizer},
      jnp.concatenate([given, latents * self.scale], axis=1),
      method="decode",
    )

  def predict(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> Float[np.ndarray, "n t h w 3"]:
    """Returns clips, decoded from latents as they are."""
    arrays = _arrays(clips, ("cond_tokens", "frames"))
    return self.map(
      lambda batch: self._forward(params, self.frozen, batch), arrays
    )

  @functools.cached_property
  def _forward(self):
    def forward(params, frozen, batch):
      return jnp.clip(self._decoded(*self._told(params, batch, frozen)), 0, 1)

    return jax.jit(forward)

  def latent_losses(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> dict[str, float]:
    """Returns losses of clips beside zero and the last latents."""
    arrays = _arrays(clips, ("tokens", "cond_tokens", "frames"))
    made = self.map(
      lambda batch: self._score(params, self.frozen, batch), arrays
    )
    return {name: float(np.mean(values)) for name, values in made.items()}

  @functools.cached_property
  def _score(self):
    def score(params, frozen, batch):
      latents, *_ = self._told(params, batch, frozen)
      return self._latent_errors(latents, batch, frozen["codebook"])

    return jax.jit(score)


def _arrays(clips, names) -> dict[str, np.ndarray]:
  """Some of them as batches have them: there is one task."""
  arrays = {name: clips[name] for name in names}
  return arrays | {"cond_tokens": clips["cond_tokens"][:, None]}


class GuidedTraining(RegressionTraining):
  """The same, guided by features of motion, while the tokenizer learns too.

  The tokenizer's parameters are the given ones and a change, which starts at
  zero; the change counts `tokenizer_rate` times, and with it its steps.
  """

  with_frames = True
  headline = ("loss", "loss_over_last", "pixel_loss", "motion_loss")

  @functools.cached_property
  def motion(self) -> nn.Module:
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
    dim = self.clips.tokenizer.vqvae.embedding_dim
    shown = jnp.zeros((1, *self.clips.grid, dim))
    features = jnp.zeros((1, self.settings.motion_features))
    return {
      "regressor": self.network.init(rng, shown, features)["params"],
      "motion": self.motion.init(motion_rng, frames)["params"],
      "tokenizer": jax.tree.map(jnp.zeros_like, self.clips.tokenizer.params),
    }

  def loss(
    self,
    params: PyTree,
    batch: Mapping[str, Array],
    frozen: PyTree,
    rng: Array,
  ) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Errors of latents, of pixels, and of motion within a clip."""
    settings, given = self.settings, self.settings.given_frames
    latents, codes, tokenizer = self._told(params, batch, frozen, rng)
    losses = self._latent_losses(latents, batch, frozen["codebook"])
    latents, codes, frames, masks = (
      every_nth(x, round(1 / settings.pixel_share))
      for x in (latents, codes, batch["frames"], batch["masks"])
    )
    made = self._decoded(latents, codes, tokenizer)
    errors = made - to_unit_range(frames)
    is_object = (masks[:, given:] > 0)[..., None]
    weights = 1 + (settings.foreground_weight - 1) * is_object
    pixels = jnp.mean(weights * errors[:, given:] ** 2)
    # Of neighbours in one clip; its first predicted frame follows a given one.
    errors = errors.at[:, :given].set(0)
    changes = errors[:, given:] - errors[:, given - 1 : -1]
    motion = jnp.mean(weights * changes**2)
    loss = (
      losses["loss"]
      + settings.pixel_weight * pixels
      + settings.motion_weight * motion
    )
    return loss, losses | {"pixel_loss": pixels, "motion_loss": motion}

  def _told(
    self, params, batch, frozen, rng=None
  ) -> tuple[Array, Array, PyTree]:
    rate, given = self.settings.tokenizer_rate, self.settings.given_frames
    tokenizer = jax.tree.map(
      lambda known, change: known + rate * change,
      frozen["tokenizer"],
      params["tokenizer"],
    )
    frames = to_unit_range(batch["frames"][:, :given])
    shown = _repeat_last(frames, self._num_shown)
    codes = self.clips.tokenizer.network.apply(
      {"params": tokenizer},
      shown,
      method=lambda network, clips: (
        network.quantizer(network.features(clips), train=True).codes
      ),
    )
    codes = _repeat_last(codes, self.clips.grid[0])
    features = self.motion.apply({"params": params["motion"]}, shown)
    motion = features.mean(axis=1)
    latents = self._regressed(params["regressor"], codes, motion, rng)
    return latents, codes, tokenizer


def every_nth(x: Shaped[Array, "b ..."], n: int) -> Shaped[Array, "c ..."]:
  """Returns every n-th row, or the first of fewer; of each device as many.

  The first rows alone would be those of some devices, which sent them to all.
  """
  n = min(n, len(x))
  count = len(x) // n
  return x[: count * n].reshape(count, n, *x.shape[1:])[:, 0]


def _repeat_last(x: Array, length: int) -> Array:
  """Returns clips (b, length, ...), which end as `x` does."""
  padding = [(0, 0)] * x.ndim
  padding[1] = (0, length - x.shape[1])
  return jnp.pad(x, padding, mode="edge")
