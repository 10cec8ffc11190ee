"""Stages of a world model: two networks on the same clips, and their scores."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from magvit3d.checkpoints.identity import world_model_identity
from magvit3d.config.world_model import (
  CONVLSTM,
  WORLD_MODEL,
  WorldModelConfig,
)
from magvit3d.data.clips import load_clips, spread_indices
from magvit3d.errors import as_user_errors
from magvit3d.evaluation.results import Results
from magvit3d.inference.action_rollouts import ActionRollouts
from magvit3d.inference.batched import map_batches
from magvit3d.models.convlstm import ConvLstm, num_parameters
from magvit3d.monitoring import stage_progress
from magvit3d.run.data import TrainingSamples
from magvit3d.run.digit_data import DigitData
from magvit3d.run.stages import Run, Stage
from magvit3d.studies.study_evaluation import StudyEvaluation
from magvit3d.studies.study_training import StudyTraining
from magvit3d.studies.world_model import world_model_scores as scores
from magvit3d.tokens import noise, pixel_levels
from magvit3d.tokens.action_model import ActionModel
from magvit3d.training.losses import masked_cross_entropies
from magvit3d.training.moving_average import averaged
from magvit3d.training.network_stage import NetworkStage, NetworkState

_KEYS = ("frames", "actions")


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages, by name."""
  stages = {WORLD_MODEL: WorldModelTraining, CONVLSTM: ConvLstmTraining}
  return stages | {
    "evaluate": lambda run: WorldModelEvaluation(
      run, WorldModelTraining(run), ConvLstmTraining(run)
    )
  }


class _DigitTraining(StudyTraining):
  """Trains a network on moving digits."""

  stage_name: str

  def __init__(self, run: Run):
    super().__init__(run, self.stage_name)
    self._config: WorldModelConfig = run.config.world_model
    assert isinstance(run.data, DigitData)
    self._data: DigitData = run.data

  @functools.cached_property
  def model(self) -> ActionModel:
    """The world model; of the other network it scales the actions."""
    config = self._run.config
    dtype = jnp.dtype(config.dtype)
    return ActionModel(self._config, config.digits, dtype)

  def identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with."""
    return world_model_identity(
      self.name, self._run.config.given, self._data.identity()
    )

  def num_samples(self) -> int:
    """Returns the clips to train on."""
    return self._run.config.digits.num_train

  def network_stage(self) -> NetworkStage:
    """Returns network, loss and optimizer."""
    with as_user_errors(ValueError):
      return NetworkStage(
        self.training,
        self.num_steps(),
        self._run.config.seed,
        self.init,
        self.loss,
        headline=("loss",),
        ema_decay=self._config.ema_decay,
      )

  def scored_params(self, state: NetworkState) -> PyTree:
    """Returns the moving average."""
    return averaged(state.opt_state)

  def samples(self) -> TrainingSamples:
    """Returns the clips to train on."""
    return TrainingSamples(self._data.clips("train"))

  def validation(self) -> Callable[[PyTree], Mapping[str, float]]:
    """Returns what scores parameters on clips of the validation split."""
    source = self._data.clips("validation")
    indices = spread_indices(source, self.training.num_validation_clips)
    clips = load_clips(source, indices, _KEYS)
    is_told = np.ones(clips["actions"].shape[:2], bool)
    future = clips["frames"][:, self._config.given_frames :] / np.float32(255)

    def validate(params):
      made = self.predict(params, clips["frames"], clips["actions"], is_told)
      return {"mse": float(np.square(made - future).mean())}

    return validate

  def init(self, rng: jax.Array) -> PyTree:
    """Returns first parameters."""
    raise NotImplementedError

  def loss(self, params, batch, frozen, rng):
    """See `network_stage.Loss`."""
    raise NotImplementedError

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
      actions: (n, t, 2), pixels.
      is_told: (n, t): which of them the network is told.
    """
    raise NotImplementedError

  def _told_actions(self, batch, rng):
    """What the network reads of the actions in training, (b, t, 3)."""
    is_told = noise.draw_told(
      rng, *batch["actions"].shape[:2], self._config.action_drop_rate
    )
    return self.model.action_inputs(batch["actions"], is_told)


class WorldModelTraining(_DigitTraining):
  """Trains the masked transformer."""

  stage_name = WORLD_MODEL

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


class ConvLstmTraining(_DigitTraining):
  """Trains the baseline."""

  stage_name = CONVLSTM

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
    t, h, w = self._data.clip_shape
    frames, actions = jnp.zeros((1, t, h, w)), jnp.zeros((1, t, 3))
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


class WorldModelEvaluation(StudyEvaluation):
  """Predicts the test clips, with their actions, others' and none."""

  parts = MappingProxyType(
    {"networks": 1.0, "predictions": 20.0, "tables": 2.0}
  )

  def __init__(self, run: Run, *trainings: _DigitTraining):
    super().__init__(run, trainings)
    self._networks = trainings

  def score(self, params: Mapping[str, PyTree]) -> Results:
    """Returns errors and similarities of predicted frames."""
    config: WorldModelConfig = self._run.config.world_model
    stage_progress.begin("predictions")
    clips, actions = self._clips(config.split)
    told = self._kinds(actions, clips.shape[:2])
    made, costs = {}, {}
    names = (scores.MODEL, scores.CONVLSTM)
    asked = [
      (name, stage, kind)
      for name, stage in zip(names, self._networks, strict=True)
      for kind in told
    ]
    for number, (name, stage, kind) in enumerate(asked):
      stage_progress.note(number, len(asked))
      tree = params[stage.name]
      if name not in costs:  # Compiles.
        few = slice(0, config.eval_batch_size)
        stage.predict(tree, clips[few], *(a[few] for a in told[kind]))
      start = time.monotonic()
      made[name + kind] = stage.predict(tree, clips, *told[kind])
      seconds = time.monotonic() - start
      if name not in costs:
        costs[name] = scores.Cost(
          num_parameters(tree),
          self.training_seconds(stage.name),
          seconds / len(clips),
        )
    made = self._with_mean(made, params, clips, told)
    stage_progress.begin("tables")
    truth = clips / np.float32(255)
    results = scores.tables(made, truth, config, config.split, costs)
    results.shown = self._shown(clips, made, config)
    return results

  def _with_mean(self, made, params, clips, told) -> dict[str, np.ndarray]:
    """Adds the mean of several samples, behind the first prediction."""
    count = self._run.config.world_model.num_samples
    stage = self._networks[0]
    assert isinstance(stage, WorldModelTraining)
    kind = next(iter(told))
    samples = [made[scores.MODEL + kind]]
    for seed in range(1, count):
      stage_progress.note(seed, count)
      samples.append(
        stage.predict(params[stage.name], clips, *told[kind], seed)
      )
    mean = np.mean(samples, axis=0, dtype=np.float32)
    first = {scores.mean_name(count) + kind: mean}
    return first | made

  def _clips(self, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Clips to score, and their actions where they are known."""
    data = self._run.data
    assert isinstance(data, DigitData)
    given = data.given_clips()
    if given is not None:
      return given, None
    source = data.clips(split)
    clips = load_clips(source, range(len(source)), _KEYS)
    return clips["frames"], clips["actions"]

  def _kinds(self, actions, shape) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Actions, and which are told, by what is asked."""
    all_told, none_told = np.ones(shape, bool), np.zeros(shape, bool)
    zeros = np.zeros((*shape, 2), np.float32)
    if actions is None:
      return {scores.UNTOLD: (zeros, none_told)}
    given = self._run.config.world_model.given_frames
    others = actions.copy()
    others[:, given:] = np.roll(actions, 1, axis=0)[:, given:]
    return {
      "": (actions, all_told),
      scores.OTHERS: (others, all_told),
      scores.UNTOLD: (zeros, none_told),
    }

  def _shown(self, clips, made, config) -> dict[str, np.ndarray]:
    """Some clips for the report, as its prediction section wants them."""
    given, count = config.given_frames, config.num_shown_clips
    few = clips[:count]
    levels = pixel_levels.to_tokens(jnp.asarray(few), config.num_levels)
    columns = {
      "real": few,
      "reconstructed": pixel_levels.to_frames(
        np.asarray(levels), config.num_levels
      ),
    }
    for key, names in (
      ("predicted", (scores.MODEL, scores.MODEL + scores.UNTOLD)),
      ("other_actions", (scores.MODEL + scores.OTHERS,)),
      ("convlstm", (scores.CONVLSTM, scores.CONVLSTM + scores.UNTOLD)),
    ):
      found = next((name for name in names if name in made), None)
      if found:
        future = np.round(made[found][:count] * 255).astype(np.uint8)
        columns[key] = np.concatenate([few[:, :given], future], axis=1)
    shown = {
      f"prediction/{key}": np.repeat(frames[..., None], 3, axis=-1)
      for key, frames in columns.items()
    }
    shown["prediction/given_frames"] = np.int64(given)
    return shown
