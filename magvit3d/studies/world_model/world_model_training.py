"""Stages that train a world model, and what stands beside it."""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from magvit3d.config.world_model import (
  CONVLSTM,
  WORLD_MODEL,
  WorldModelConfig,
)
from magvit3d.data.clips import load_clips, spread_indices
from magvit3d.inference.action_rollouts import ActionRollouts
from magvit3d.inference.batched import map_batches
from magvit3d.models.convlstm import ConvLstm
from magvit3d.run.data import TrainingSamples
from magvit3d.run.stages import Run
from magvit3d.studies.study_training import NetworkTraining
from magvit3d.studies.world_model.action_data import action_data
from magvit3d.tokens import noise, pixel_levels
from magvit3d.tokens.action_model import ActionModel
from magvit3d.tokens.vocabulary import MASK
from magvit3d.training.losses import masked_cross_entropies
from magvit3d.training.moving_average import averaged
from magvit3d.training.network_stage import NetworkState

KEYS = ("frames", "actions")  # Of a clip, that are read.
# See `ActionTraining.identity_fields`.
_OF_WORLD_MODEL = (
  "num_levels",
  "patch",
  "num_layers",
  "hidden_size",
  "mlp_dim",
  "num_heads",
  "kernel_init_stddev",
  "relative_bias",
  "motion",
  "future_share",
  "joint_share",
  "mask_schedule",
  "draw",
  "max_noise",
  "action_drop_rate",
  "label_smoothing",
  "ema_decay",
)
_OF_CONVLSTM = (
  "patch",
  "action_drop_rate",
  "ema_decay",
  "given_frames",
  "convlstm",
)


class ActionTraining(NetworkTraining):
  """Trains a network on clips with actions.

  Attributes:
    stage_name: Of the stage, and of its folder.
    data: Clips and actions.
    identity_fields: Of `config.world_model`, that decide what the network is
      and how it is trained.
  """

  stage_name: str
  identity_fields: tuple[str, ...]

  def __init__(self, run: Run):
    super().__init__(run, self.stage_name)
    self._config: WorldModelConfig = run.config.world_model
    self.data = action_data(run)

  @functools.cached_property
  def model(self) -> ActionModel:
    """The world model; of the other network it scales the actions."""
    return ActionModel(
      self._config,
      self.data.clip_shape,
      len(self.data.axes),
      self.data.action_scale,
      jnp.dtype(self._run.config.dtype),
    )

  def identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with."""
    return self.network_identity() | {"data": self.data.identity()}

  def network_identity(self) -> dict[str, dict[str, Any]]:
    """Returns the same but for the data, which need not be there."""
    section = self._run.config.given[WORLD_MODEL]
    made = {f: section[f] for f in self.identity_fields if f in section}
    return {self.name: made}

  def num_samples(self) -> int:
    """Returns the clips to train on."""
    return self.data.num_train()

  @property
  def ema_decay(self) -> float:
    """Of the moving average, which is what is used."""
    return self._config.ema_decay

  def scored_params(self, state: NetworkState) -> PyTree:
    """Returns the moving average."""
    return averaged(state.opt_state)

  def samples(self) -> TrainingSamples:
    """Returns the clips to train on."""
    return TrainingSamples(self.data.clips("train"))

  def validation(self) -> Callable[[PyTree], Mapping[str, float]]:
    """Returns what scores parameters on clips of the validation split."""
    source = self.data.clips("validation")
    indices = spread_indices(source, self.training.num_validation_clips)
    clips = load_clips(source, indices, KEYS)
    is_told = np.ones(clips["actions"].shape[:2], bool)
    future = clips["frames"][:, self._config.given_frames :] / np.float32(255)

    def validate(params):
      made = self.predict(params, clips["frames"], clips["actions"], is_told)
      return {"mse": float(np.square(made - future).mean())}

    return validate

  @abc.abstractmethod
  def predict(
    self,
    params: PyTree,
    clips: np.ndarray,
    actions: np.ndarray,
    is_told: np.ndarray,
  ) -> np.ndarray:
    """Returns the frames behind the given ones, (n, f, h, w) in [0, 1].

    Args:
      params: Of the network.
      clips: Uint8 (n, t, h, w).
      actions: (n, t, a), see `action_data`.
      is_told: (n, t): which of them the network is told.
    """

  def _told_actions(self, batch, rng):
    """What the network reads of the actions in training, (b, t, a + 1)."""
    is_told = noise.draw_told(
      rng, *batch["actions"].shape[:2], self._config.action_drop_rate
    )
    return self.model.action_inputs(batch["actions"], is_told)


class WorldModelTraining(ActionTraining):
  """Trains the masked transformer."""

  stage_name = WORLD_MODEL
  identity_fields = _OF_WORLD_MODEL

  def network_identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with, the mask's id too."""
    return super().network_identity() | {"tokens": {"mask": MASK}}

  def init(self, rng: jax.Array) -> PyTree:
    """Returns first parameters."""
    return self.model.init(rng)

  def loss(self, params, batch, frozen, rng):
    """Cross-entropy of all tokens, hidden or not."""
    del frozen
    config = self._config
    noise_key, told_key = jax.random.split(rng)
    tokens = pixel_levels.to_tokens(batch["frames"], config.num_levels)
    noisy = noise.make_noisy(noise_key, tokens, config)
    logits = self.model.logits(
      params,
      noisy.inputs,
      self._told_actions(batch, told_key),
      noisy.sees_past,
    )
    flat = tokens.reshape(len(tokens), -1)
    by_token = logits.reshape(*flat.shape, -1)
    everywhere = jnp.ones(flat.shape)
    by_clip = masked_cross_entropies(
      by_token, flat, everywhere, config.label_smoothing
    )
    loss = by_clip.mean()
    is_right = (by_token.argmax(-1) == flat).reshape(tokens.shape)
    hidden = noisy.is_hidden
    return loss, {
      "loss": loss,
      "hidden_accuracy": (is_right & hidden).sum()
      / jnp.maximum(hidden.sum(), 1),
      "hidden_share": hidden.mean(),
      "wrong_share": noise.noise_share(noisy),
      **{
        f"share_{name}": (noisy.objective == number).mean()
        for number, name in enumerate(noise.OBJECTIVES)
      },
    }

  @functools.cached_property
  def _rollouts(self) -> ActionRollouts:
    return ActionRollouts(
      self.model, self._config.eval_batch_size, self._run.mesh
    )

  def predict(
    self, params, clips, actions, is_told, seed: int = 0
  ) -> np.ndarray:
    """Returns a sample of the frames behind the given ones."""
    given = self._config.given_frames
    made = self._rollouts.roll_out(params, clips, actions, is_told, given, seed)
    return made[:, given:] / np.float32(255)


class ConvLstmTraining(ActionTraining):
  """Trains the baseline."""

  stage_name = CONVLSTM
  identity_fields = _OF_CONVLSTM

  def __init__(self, run: Run):
    super().__init__(run)
    given = {
      field: value
      for field in ("learning_rate", "num_steps")
      if (value := getattr(self._config.convlstm, field)) is not None
    }
    self.training = dataclasses.replace(self.training, **given)
    self.training.check("world_model.convlstm")

  @functools.cached_property
  def network(self) -> ConvLstm:
    """The one that is trained."""
    config = self._config.convlstm
    return ConvLstm(
      config.num_layers,
      config.features,
      config.kernel_size,
      self._config.patch,
    )

  def init(self, rng: jax.Array) -> PyTree:
    """Returns first parameters."""
    t, h, w = self.data.clip_shape
    frames = jnp.zeros((1, t, h, w))
    actions = jnp.zeros((1, t, self.model.num_inputs))
    given = self._config.given_frames
    return self.network.init(rng, frames, actions, given)["params"]

  def loss(self, params, batch, frozen, rng):
    """Cross-entropy of the pixels of all frames but the first."""
    del frozen
    frames = batch["frames"].astype(jnp.float32) / 255
    logits = self.network.apply(
      {"params": params},
      frames,
      self._told_actions(batch, rng),
      self._config.given_frames,
    )
    target = frames[:, 1:]
    loss = optax.sigmoid_binary_cross_entropy(logits, target).mean()
    error = jnp.square(jax.nn.sigmoid(logits) - target).mean()
    return loss, {"loss": loss, "mse": error}

  @functools.cached_property
  def _forward(self):
    given = self._config.given_frames

    def forward(params, batch):
      actions = self.model.action_inputs(batch["actions"], batch["is_told"])
      frames = batch["frames"].astype(jnp.float32) / 255
      logits = self.network.apply({"params": params}, frames, actions, given)
      return jax.nn.sigmoid(logits[:, given - 1 :])

    return jax.jit(forward)

  def predict(self, params, clips, actions, is_told) -> np.ndarray:
    """Returns the frames behind the given ones, (n, f, h, w) in [0, 1]."""
    return map_batches(
      lambda batch: self._forward(params, batch),
      {"frames": clips, "actions": actions, "is_told": is_told},
      self._config.eval_batch_size,
      self._run.mesh,
    )
