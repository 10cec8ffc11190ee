"""A stage of a study that trains one network."""

import abc
import contextlib
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.checkpoints.retention import CheckpointSettings
from magvit3d.config.training import NetworkTrainingConfig
from magvit3d.errors import UserError, as_user_errors
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.run.data import TrainingSamples
from magvit3d.run.network_training import train_network
from magvit3d.run.stages import Run, Stage
from magvit3d.training import loop
from magvit3d.training.network_stage import NetworkStage, NetworkState


class StudyTraining(Stage[Run]):
  """Trains one network of a study.

  Attributes:
    name: Of the network, of the stage, and of its folder.
    training: Section of the config.
  """

  def __init__(self, run: Run, name: str):
    super().__init__(run)
    self.name = name
    self.training: NetworkTrainingConfig = run.config.training(run.config.study)

  @abc.abstractmethod
  def network_stage(self) -> loop.Stage:
    """Returns network, loss and optimizer; quickly, and reads no frames."""

  @abc.abstractmethod
  def samples(self) -> TrainingSamples:
    """Returns what is trained on; the data are there."""

  @abc.abstractmethod
  def validation(self) -> Callable[[PyTree], Mapping[str, float]]:
    """Returns what scores parameters; the data are there."""

  @abc.abstractmethod
  def identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with, by section and field."""

  @abc.abstractmethod
  def num_samples(self) -> int:
    """Returns the samples of the training split."""

  def num_steps(self) -> int:
    """Returns the steps of the stage."""
    training = self.training
    if training.num_steps is not None:
      return training.num_steps
    num_samples = self.num_samples() * training.num_epochs
    return math.ceil(num_samples / training.batch_size)

  def check_fits(self) -> None:
    """Raises UserError if there is a network of another config."""
    if self._folder.exists():
      with contextlib.closing(self._checkpoints()) as checkpoints:
        if checkpoints.latest_step() is not None:
          checkpoints.check_identity()

  def is_complete(self) -> bool:
    """Returns whether it is trained to its last step."""
    if not self._folder.exists():
      return False
    with contextlib.closing(self._checkpoints()) as checkpoints:
      step = checkpoints.latest_step()
      if step is None:
        return False
      checkpoints.check_identity()
      if step < self.num_steps():
        return False
      checkpoints.delete_left()
      return True

  def outputs(self) -> list[pathlib.Path]:
    """Returns the record of the last checkpoint."""
    newest = checkpoint_record.newest(self._folder)
    return [checkpoint_record.path_in(newest)] if newest else []

  def run(self) -> None:
    """Trains it from its newest checkpoint, if any."""
    validate = self.validation()
    train_network(
      self._run,
      self.name,
      self.network_stage(),
      self.samples(),
      self._checkpoints(),
      lambda state: validate(self.scored_params(state)),
      training=self.training,
      num_steps=self.num_steps(),
      per_step={"samples": self.training.batch_size},
    )

  def scored_params(self, state: PyTree) -> PyTree:
    """Returns the parameters of a state that are validated and scored."""
    return state.params

  def params(self) -> PyTree:
    """Returns the trained parameters, on all devices.

    Raises:
      UserError: There are none.
    """
    with contextlib.closing(self._checkpoints()) as checkpoints:
      if checkpoints.latest_step() is None:
        raise UserError(
          f"{self._folder.parent} has no checkpoint: add {self.name!r} to "
          f"config.stages={self._run.config.stages!r}."
        )
      shapes = jax.eval_shape(self.network_stage().init_state)
      state = checkpoints.restore_newest(
        sharding_rules.with_state_shardings(shapes, self._run.mesh)
      )
      return sharding.replicate(self.scored_params(state), self._run.mesh)

  @property
  def _folder(self) -> pathlib.Path:
    return self._run.workdir / self.name / "checkpoints"

  def _checkpoints(self, identity: Mapping | None = None) -> Checkpoints:
    config = self._run.config
    return Checkpoints(
      self._folder,
      self.identity() if identity is None else identity,
      settings=CheckpointSettings(
        config.checkpoints.num_to_keep,
        self.training.best_metric,
        field=f"train_{config.study}.best_metric",
      ),
      record={
        "config": config.document,
        "data_manifest_sha256": self._run.data.manifest_sha256(),
      },
      advice="Use the config it was trained with, or another --workdir, or "
      f"delete {self._folder.parent} to train it anew.",
    )


class NetworkTraining(StudyTraining):
  """Trains the parameters of a loss.

  Attributes:
    headline: Metrics that are shown first.
    ema_decay: See `NetworkStage`.
  """

  headline: tuple[str, ...] = ("loss",)
  ema_decay: float | None = None

  @abc.abstractmethod
  def init(self, rng: jax.Array) -> PyTree:
    """Returns the first parameters."""

  @abc.abstractmethod
  def loss(
    self,
    params: PyTree,
    batch: Mapping[str, jax.Array],
    frozen: PyTree,
    rng: jax.Array,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the loss of a batch, and what to log of it."""

  @property
  def frozen(self) -> PyTree:
    """Arrays that the loss reads and nothing changes."""
    return ()

  def network_stage(self) -> NetworkStage:
    """Returns network, loss and optimizer."""
    return self._stage(self.num_steps())

  def state_shapes(self) -> NetworkState:
    """Returns shapes of the state; the data need not be there."""
    # Steps, which they may have to count, change none.
    stage = self._stage(self.training.warmup_steps + 1)
    return jax.eval_shape(stage.init_state)

  def _stage(self, num_steps: int) -> NetworkStage:
    with as_user_errors(ValueError):
      return NetworkStage(
        self.training,
        num_steps,
        self._run.config.seed,
        self.init,
        self.loss,
        frozen=self.frozen,
        headline=self.headline,
        ema_decay=self.ema_decay,
      )
