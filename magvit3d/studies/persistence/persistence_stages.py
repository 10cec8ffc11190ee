"""Stages of a study of which objects stay: one network, and its scores."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, PyTree

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.checkpoints import identity
from magvit3d.config.studies import PersistenceConfig
from magvit3d.data.clips import spread_indices
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation.results import Results
from magvit3d.inference.batched import map_batches
from magvit3d.models.persistence import (
  NUM_PLACES,
  WEIGHTS,
  PersistenceNetwork,
)
from magvit3d.monitoring import stage_progress
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.run.data import RunData, TrainingSamples
from magvit3d.run.stages import Run, Stage
from magvit3d.studies.frozen_tokenizer import FrozenTokenizer
from magvit3d.studies.persistence import (
  decisions,
  persistence_scores,
  seen_objects,
  watching_costs,
)
from magvit3d.studies.persistence.persistence_scores import Attention, Measured
from magvit3d.studies.persistence.seen_objects import SeenObjects
from magvit3d.studies.persistence.watching_costs import WatchingCosts
from magvit3d.studies.study_evaluation import StudyEvaluation
from magvit3d.studies.study_training import NetworkTraining

_NAME = "persistence"
# Of the section, that decide what is trained.
_OF_TRAINING = ("width", "num_layers", "num_heads", "shuffled_labels")


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages, by name."""
  scenes = PersistenceScenes(run)

  def make(run: Run) -> "PersistenceTraining":
    return PersistenceTraining(run, scenes)

  return {
    _NAME: make,
    "evaluate": lambda run: PersistenceEvaluation(run, make(run), scenes),
  }


class PersistenceScenes:
  """The objects of a run's scenes, in the tokens of a frozen tokenizer.

  Args:
    run: With rendered data.

  Raises:
    UserError: Fields of the config do not go together.
  """

  def __init__(self, run: Run):
    self._run = run
    self._data = data = run.config.data
    if not data.data_dir and not data.num_transients:
      raise UserError(
        "config.data.num_transients=0 makes no objects that pass, and "
        "persistence asks which do. Use 1 or more."
      )
    self.num_frames: int = data.num_frames
    vqvae = self.tokenizer.vqvae
    self.stride = 2 ** sum(map(bool, vqvae.temporal_downsample))
    with as_user_errors(ValueError):
      self.tokenizer.grid(self.stride, data.image_size)

  @functools.cached_property
  def tokenizer(self) -> FrozenTokenizer:
    """The one whose codes are read."""
    run = self._run
    return FrozenTokenizer(run.config, run.mesh, is_planned=run.is_planned)

  def source(self, split: str) -> SceneSource:
    """Returns the scenes of a split.

    Raises:
      UserError: They have one object each.
    """
    data = self._run.data
    assert isinstance(data, RunData)
    scenes = data.clips(split).scenes
    if schema.OBJECTS_IS_TRANSIENT not in scenes.features:
      raise UserError(
        f"config.data.data_dir={data.folder} has one object a scene: make "
        "others with python -m data_gen --num_clutter --num_transients."
      )
    return scenes

  @functools.lru_cache(maxsize=3)  # noqa: B019 - One object a run.
  def of(self, split: str) -> SeenObjects:
    """Returns the objects of all clips of a split."""
    batch_size = self._run.config.persistence.eval_batch_size
    objects = seen_objects.read(
      self.source(split),
      lambda frames: self.tokenizer.encode(frames, batch_size),
      self.stride,
      self.tokenizer.codebook,
    )
    if objects.stays.all() or not objects.stays.any():
      raise UserError(
        f"The {split} split has objects that "
        f"{'stay' if objects.stays.all() else 'pass'} alone: make others with "
        "python -m data_gen --num_clutter --num_transients."
      )
    return objects


class PersistenceTraining(NetworkTraining):
  """Trains the network that says which objects stay."""

  headline = ("loss", "accuracy")

  def __init__(self, run: Run, scenes: PersistenceScenes):
    super().__init__(run, _NAME)
    self._scenes = scenes
    self._config: PersistenceConfig = run.config.persistence

  def identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with."""
    section = self._run.config.given["persistence"]
    digest = identity.fingerprint(self._scenes.tokenizer.params)[:16]
    return {
      "persistence": {
        field: section[field] for field in _OF_TRAINING if field in section
      },
      "data": self._run.data.identity(),
      "tokenizer": {"fingerprint": digest},
    }

  def num_samples(self) -> int:
    """Returns the clips to train on."""
    scenes = self._scenes.source("train")
    return len(scenes) * scenes.num_views

  @functools.cached_property
  def network(self) -> PersistenceNetwork:
    """The one that is trained."""
    config = self._config
    return PersistenceNetwork(
      config.width, config.num_layers, config.num_heads, self._scenes.num_frames
    )

  def init(self, rng: jax.Array) -> PyTree:
    """Returns its first parameters."""
    shape = (1, 2, self._scenes.num_frames)
    codes = jnp.zeros((*shape, self._scenes.tokenizer.codebook.shape[1]))
    return self.network.init(rng, codes, jnp.zeros((*shape, NUM_PLACES)))[
      "params"
    ]

  def samples(self) -> TrainingSamples:
    """Returns the clips to train on."""
    objects = self._of("train")
    if self._config.shuffled_labels:
      objects = objects.shuffled(self._run.config.seed)
    return TrainingSamples(objects)

  def _of(self, split: str) -> SeenObjects:
    with StageProgress(
      self._run.workdir, "tokens", {split: 1.0}, needs_status=False
    ):
      return self._scenes.of(split)

  def validation(self) -> Callable[[PyTree], Mapping[str, float]]:
    """Returns what scores parameters on clips of the validation split."""
    objects = self._of("validation")
    count = self.training.num_validation_clips
    objects = objects.chosen(spread_indices(objects, count))

    def validate(params):
      probabilities, _ = self.answer(params, objects)
      answers = probabilities > 0.5
      has_appeared = decisions.appeared(objects.is_seen)
      last = answers[..., -1], objects.stays, has_appeared[..., -1]
      return {
        "f1": decisions.f1(*last).value,
        "accuracy": decisions.accuracy(*last).value,
        "loss": decisions.log_loss(probabilities, objects.stays, has_appeared),
      }

    return validate

  def loss(self, params, batch, frozen, rng):
    """Cross-entropy of every answer about what has appeared."""
    del frozen, rng
    logits = self.network.apply(
      {"params": params}, batch["codes"], batch["places"]
    )
    is_seen = batch["places"][..., 0] > 0
    weights = (jnp.cumsum(is_seen, axis=-1) > 0).astype(jnp.float32)
    stays = jnp.broadcast_to(batch["stays"][..., None], logits.shape)
    losses = optax.sigmoid_binary_cross_entropy(logits, stays)
    right = ((logits > 0) == (stays > 0.5)) * weights
    total = jnp.maximum(weights.sum(), 1)
    loss = (losses * weights).sum() / total
    return loss, {"loss": loss, "accuracy": right.sum() / total}

  def answer(
    self, params: PyTree, objects: SeenObjects
  ) -> tuple[Float[np.ndarray, "n o t"], dict[str, Float[np.ndarray, "n 2"]]]:
    """Returns probabilities that objects stay, and sums of attention.

    The sums are those of `decisions.attention_sums`, over all layers, of
    `persistence_scores.OTHERS` and `ALL` keys.
    """
    return map_batches(
      lambda batch: self._forward(params, batch),
      {
        "codes": objects.codes,
        "places": objects.places,
        "stays": objects.stays,
      },
      self._config.eval_batch_size,
      self._run.mesh,
    )

  @functools.cached_property
  def _forward(self):
    def forward(params, batch):
      logits, sown = self.network.apply(
        {"params": params},
        batch["codes"],
        batch["places"],
        mutable="intermediates",
      )
      is_seen = batch["places"][..., 0] > 0
      layers = [
        layer[WEIGHTS][0]
        for name, layer in sown["intermediates"].items()
        if name.startswith("attention_")
      ]
      sums = {
        name: sum(
          decisions.attention_sums(
            weights, is_seen, batch["stays"], with_own=with_own
          )
          for weights in layers
        )
        for name, with_own in (
          (persistence_scores.OTHERS, False),
          (persistence_scores.ALL, True),
        )
      }
      return jax.nn.sigmoid(logits), sums

    return jax.jit(forward)


class PersistenceEvaluation(StudyEvaluation):
  """Reads the test split, once the network is trained."""

  parts = MappingProxyType(
    {"networks": 1.0, "scenes": 20.0, "costs": 10.0, "tables": 1.0}
  )

  def __init__(
    self, run: Run, training: PersistenceTraining, scenes: PersistenceScenes
  ):
    super().__init__(run, [training])
    self._training, self._scenes = training, scenes

  def score(self, params: Mapping[str, PyTree]) -> Results:
    """Returns what decisions at the end and before are worth."""
    config = self._run.config.persistence
    stage_progress.begin("scenes")
    source = self._scenes.source(config.split)
    objects = self._scenes.of(config.split)
    probabilities, trained = self._training.answer(params[_NAME], objects)
    first_values = self._training.init(jax.random.key(self._run.config.seed))
    _, untrained = self._training.answer(first_values, objects)
    stage_progress.begin("costs")
    costs = self._costs(params[_NAME], objects)
    stage_progress.begin("tables")
    return persistence_scores.tables(
      Measured(
        probabilities,
        objects.stays,
        objects.is_seen,
        source.num_views,
        Attention(trained, untrained),
        costs,
      ),
      config,
      num_parameters=sum(leaf.size for leaf in jax.tree.leaves(params[_NAME])),
      training_seconds=self.training_seconds(_NAME),
    )

  def _costs(self, params: PyTree, objects: SeenObjects) -> WatchingCosts:
    """Measures a frame, and answers about k frames, of one clip."""
    size = self._run.config.data.image_size
    tokenizer = self._scenes.tokenizer
    still = np.zeros((1, self._scenes.stride, size, size, 3), np.uint8)
    frame = watching_costs.measure(
      tokenizer.encode_batch, tokenizer.params, {"frames": still}
    )
    network, answers = self._training.network, []
    for k in range(1, self._scenes.num_frames + 1):
      stage_progress.note(k - 1, self._scenes.num_frames)
      answers.append(
        watching_costs.measure(
          lambda params, codes, places: network.apply(
            {"params": params}, codes, places
          ),
          params,
          objects.codes[:1, :, :k],
          objects.places[:1, :, :k],
        )
      )
    return WatchingCosts(frame, tuple(answers))
