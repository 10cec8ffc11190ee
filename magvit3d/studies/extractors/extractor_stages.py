"""Stages that train the extractors, and the one that scores them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int, PyTree

from magvit3d.checkpoints import identity
from magvit3d.config.studies import ExtractorsConfig
from magvit3d.data.clips import load_clips, spread_indices
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation.results import Results
from magvit3d.inference.batched import map_batches
from magvit3d.models import extractors
from magvit3d.monitoring import stage_progress
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.run.data import RunData, TrainingSamples
from magvit3d.run.stages import Run, Stage
from magvit3d.studies.extractors import extractor_scores
from magvit3d.studies.extractors.motion_scenes import (
  MotionScenes,
  check_stratified,
)
from magvit3d.studies.frozen_tokenizer import FrozenTokenizer
from magvit3d.studies.study_evaluation import StudyEvaluation
from magvit3d.studies.study_training import NetworkTraining

# Of the section, that may change once a network is trained.
_OF_SCORES = (
  "names",
  "split",
  "eval_batch_size",
  "min_accuracy",
  "min_class_accuracy",
  "positions_below_constant_velocity",
)


_KEYS = ("seen", "motion", "positions")
_LEAST_M = np.float32(1e-6)


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages, by name."""
  scenes = ExtractorScenes(run)
  stages = {
    name: functools.partial(ExtractorTraining, name=name, scenes=scenes)
    for name in run.config.extractors.networks
  }
  return stages | {
    "evaluate": lambda run: ExtractorEvaluation(
      run, [make(run) for make in stages.values()], scenes
    )
  }


class ExtractorScenes:
  """The scenes of a run as its extractors see them.

  Args:
    run: With rendered data.

  Raises:
    UserError: Fields of the config do not go together.
  """

  def __init__(self, run: Run):
    self._run = run
    self._config: ExtractorsConfig = run.config.extractors
    given, total = self._config.given_frames, run.data.clip_shape[0]
    if given + max(extractor_scores.AHEAD) > total:
      raise UserError(
        f"config.extractors.given_frames={given} of "
        f"config.data.num_frames={total} leaves no frame at "
        f"t+{max(extractor_scores.AHEAD)}, which is asked for. Give fewer."
      )
    training = run.config.training("extractors")
    if training.batch_size % (2 * training.gradient_accumulation_steps):
      raise UserError(
        f"config.train_extractors.batch_size={training.batch_size} must be a "
        "multiple of twice gradient_accumulation_steps="
        f"{training.gradient_accumulation_steps}: one camera sees half of the "
        "scenes that are trained on together."
      )
    if "magvit" in self._config.networks:
      with as_user_errors(ValueError):
        self.tokenizer.grid(
          given, run.config.data.image_size, "extractors.given_frames"
        )

  @functools.cached_property
  def tokenizer(self) -> FrozenTokenizer:
    """The one whose codes `magvit` reads."""
    run = self._run
    return FrozenTokenizer(run.config, run.mesh, is_planned=run.is_planned)

  def seen_shape(self, name: str) -> tuple[int, ...]:
    """Returns the shape of what a network sees of one scene, (1, v, ...)."""
    run, given = self._run, self._config.given_frames
    num_cameras = run.data.num_cameras()
    size = run.config.data.image_size
    if name == "magvit":
      return (1, num_cameras, *self.tokenizer.grid(given, size))
    return (1, num_cameras, given, size, size, 3)

  @property
  def motion_names(self) -> tuple[str, ...]:
    """Names of the motions, by number."""
    return self._source("train").motion_names

  def of(self, name: str, split: str) -> MotionScenes:
    """Returns the scenes of a split for the network of a name.

    Raises:
      UserError: Not all motions are there equally often.
    """
    is_control = self._config.shuffled_labels and split == "train"
    source = self._source(split)
    scenes = MotionScenes(
      source,
      self._config.given_frames,
      self._tokens(split) if name == "magvit" else None,
      self._run.config.seed if is_control else None,
    )
    check_stratified(split, scenes.motions, source.motion_names)
    return scenes

  def _source(self, split: str):
    data = self._run.data
    assert isinstance(data, RunData)
    return data.clips(split).scenes

  @functools.lru_cache(maxsize=3)  # noqa: B019 - One object a run.
  def _tokens(self, split: str) -> Int[np.ndarray, "n v s y x"]:
    """Tokens of the given frames of all cameras."""
    frames = MotionScenes(self._source(split), self._config.given_frames)
    size = self._config.eval_batch_size
    parts = []
    for first in range(0, len(frames), size):
      stage_progress.note(first, len(frames))
      rows = range(first, min(first + size, len(frames)))
      seen = np.stack([frames[i]["seen"] for i in rows])
      tokens = self.tokenizer.encode(seen.reshape(-1, *seen.shape[2:]), size)
      parts.append(tokens.reshape(*seen.shape[:2], *tokens.shape[1:]))
    return np.concatenate(parts)

  def num_samples(self, split: str) -> int:
    """Returns the scenes of a split."""
    return len(self._source(split))

  @functools.cached_property
  def spread(self) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1, 1, 3) of training positions, metres.

    The latter is a little above 0 also across a plane that all paths are in.
    """
    positions, axes = self.training_positions, (0, 1)
    deviation = positions.std(axes, keepdims=True)
    return positions.mean(axes, keepdims=True), np.maximum(deviation, _LEAST_M)

  @functools.cached_property
  def training_positions(self) -> np.ndarray:
    """Of all training scenes and frames, (n, t, 3), metres."""
    scenes = self._source("train")
    paths = [
      scenes.scene(i, ("trajectory",))["trajectory"] for i in range(len(scenes))
    ]
    return np.stack(paths)


class ExtractorTraining(NetworkTraining):
  """Trains one extractor with its head."""

  headline = ("loss", "accuracy", "position_error_m")

  def __init__(self, run: Run, name: str, scenes: ExtractorScenes):
    super().__init__(run, name)
    self._scenes = scenes
    self._config: ExtractorsConfig = run.config.extractors

  def identity(self) -> dict[str, dict[str, Any]]:
    """Returns what a checkpoint must agree with."""
    given, data = self._run.config.given, self._run.data
    section = dict(given["extractors"])
    for field in _OF_SCORES:
      section.pop(field, None)
    made = {"extractors": section, "data": data.identity()}
    if self.name == "magvit":
      digest = identity.fingerprint(self._scenes.tokenizer.params)[:16]
      made["tokenizer"] = {"fingerprint": digest}
    return made

  def num_samples(self) -> int:
    """Returns the scenes to train on."""
    return self._scenes.num_samples("train")

  @functools.cached_property
  def network(self) -> extractors.MotionReader:
    """Extractor and head."""
    num_frames = self._run.data.clip_shape[0]
    num_motions = len(self._scenes.motion_names)
    return extractors.make(self.name, self._config, num_motions, num_frames)

  @functools.cached_property
  def codebook(self) -> jax.Array | None:
    """Of the tokens that it reads; None: it reads frames."""
    if self.name != "magvit":
      return None
    return jnp.asarray(self._scenes.tokenizer.codebook)

  @property
  def frozen(self) -> PyTree:
    """The codebook, if it reads tokens."""
    return () if self.codebook is None else self.codebook

  def init(self, rng: jax.Array) -> PyTree:
    """Returns the first parameters."""
    seen = jnp.zeros(self._scenes.seen_shape(self.name), jnp.int32)
    if self.codebook is None:
      seen = seen.astype(jnp.uint8)
    seen = extractors.as_seen(seen, self.codebook)
    return self.network.init(rng, seen)["params"]

  def samples(self) -> TrainingSamples:
    """Returns the scenes to train on."""
    return TrainingSamples(self._of("train"))

  def _of(self, split: str) -> MotionScenes:
    with StageProgress(
      self._run.workdir, "tokens", {split: 1.0}, needs_status=False
    ):
      return self._scenes.of(self.name, split)

  def validation(self) -> Callable[[PyTree], Mapping[str, float]]:
    """Returns what scores parameters on scenes of the validation split."""
    scenes = self._of("validation")
    count = self.training.num_validation_clips
    held_out = load_clips(scenes, spread_indices(scenes, count), _KEYS)

    def validate(params):
      logits, positions = self.answer(params, held_out["seen"])
      error = np.linalg.norm(positions - held_out["positions"], axis=-1)
      return {
        "accuracy": float(np.mean(logits.argmax(-1) == held_out["motion"])),
        "position_error_m": float(error.mean()),
      }

    return validate

  def loss(self, params, batch, frozen, rng):
    """Cross-entropy of motions, and squared error of positions."""
    codebook = None if self.codebook is None else frozen
    camera_key, dropout_key = jax.random.split(rng)
    count, num_cameras = batch["seen"].shape[:2]
    logits, positions = self.network.apply(
      {"params": params},
      extractors.as_seen(batch["seen"], codebook),
      extractors.draw_cameras(camera_key, count, num_cameras),
      train=True,
      rngs={"dropout": dropout_key},
    )
    mean, deviation = map(jnp.asarray, self._scenes.spread)
    errors = positions - (batch["positions"] - mean) / deviation
    classes = optax.softmax_cross_entropy_with_integer_labels(
      logits, batch["motion"]
    ).mean()
    squared = jnp.square(errors).mean()
    loss = classes + self._config.position_weight * squared
    metres = jnp.linalg.norm(errors * deviation, axis=-1).mean()
    accuracy = (logits.argmax(-1) == batch["motion"]).mean()
    return loss, {
      "loss": loss,
      "accuracy": accuracy,
      "position_error_m": metres,
      "cross_entropy": classes,
      "squared_error": squared,
    }

  def answer(
    self, params: PyTree, seen: np.ndarray, camera: int | None = None
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits (n, k) and positions (n, t, 3) in metres.

    Args:
      params: Of the network.
      seen: Of scenes, see `MotionScenes`.
      camera: The only one that counts; None: all count.
    """
    run = self._run
    logits, positions = map_batches(
      lambda batch: self._forward(params, batch["seen"], camera),
      {"seen": seen},
      self._config.eval_batch_size,
      run.mesh,
    )
    mean, deviation = self._scenes.spread
    return logits, positions * deviation + mean

  @functools.cached_property
  def _forward(self):
    def forward(params, array, camera):
      seen = extractors.as_seen(array, self.codebook)
      alone = None if camera is None else jnp.full(len(seen), camera)
      return self.network.apply({"params": params}, seen, alone)

    return jax.jit(forward, static_argnums=2)


class ExtractorEvaluation(StudyEvaluation):
  """Reads the test split, once all extractors are trained."""

  parts = extractor_scores.PARTS
  version = 2

  def __init__(
    self,
    run: Run,
    trainings: list[ExtractorTraining],
    scenes: ExtractorScenes,
  ):
    super().__init__(run, trainings)
    self._extractors, self._scenes = trainings, scenes

  def score(self, params: Mapping[str, PyTree]) -> Results:
    """Returns accuracies, confusions and errors in metres."""
    config = self._run.config.extractors
    stage_progress.begin("answers")
    answers = {}
    for number, stage in enumerate(self._extractors):
      stage_progress.note(number, len(self._extractors))
      scenes = self._scenes.of(stage.name, config.split)
      truth = load_clips(scenes, range(len(scenes)), _KEYS)
      answers[stage.name] = extractor_scores.ask(
        functools.partial(stage.answer, params[stage.name]), truth.pop("seen")
      )
    stage_progress.begin("tables")
    return extractor_scores.tables(
      answers,
      truth,
      training_positions=self._scenes.training_positions,
      training_motions=self._scenes.of("frames", "train").motions,
      motion_names=self._scenes.motion_names,
      config=config,
      split=config.split,
      costs={
        name: extractor_scores.Cost(
          sum(leaf.size for leaf in jax.tree.leaves(tree)),
          self.training_seconds(name),
        )
        for name, tree in params.items()
      },
    )
