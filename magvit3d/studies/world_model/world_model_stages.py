"""Stages of a world model: two networks on the same clips, and their scores."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from magvit3d.config.world_model import (
  CONVLSTM,
  WORLD_MODEL,
  WorldModelConfig,
)
from magvit3d.data.clips import load_clips
from magvit3d.evaluation.results import Results
from magvit3d.models.convlstm import num_parameters
from magvit3d.monitoring import stage_progress
from magvit3d.run.stages import Run, Stage
from magvit3d.studies.study_evaluation import StudyEvaluation
from magvit3d.studies.world_model import world_model_scores as scores
from magvit3d.studies.world_model.action_data import ActionClips
from magvit3d.studies.world_model.world_model_training import (
  KEYS,
  ActionTraining,
  ConvLstmTraining,
  WorldModelTraining,
)
from magvit3d.tokens import pixel_levels


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages, by name."""
  stages = {WORLD_MODEL: WorldModelTraining, CONVLSTM: ConvLstmTraining}
  return stages | {
    "evaluate": lambda run: WorldModelEvaluation(
      run, WorldModelTraining(run), ConvLstmTraining(run)
    )
  }


class WorldModelEvaluation(StudyEvaluation):
  """Predicts the test clips, with their actions, others' and none."""

  parts = MappingProxyType(
    {"networks": 1.0, "predictions": 10.0, "samples": 10.0, "tables": 2.0}
  )

  def __init__(self, run: Run, *trainings: ActionTraining):
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
    stage_progress.begin("samples")
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
    data = self._networks[0].data
    given = data.given_clips()
    if given is not None:
      return given, None
    source = data.clips(split)
    if isinstance(source, ActionClips):  # Views of a scene say the same.
      source = dataclasses.replace(source, has_all_views=False)
    clips = load_clips(source, range(len(source)), KEYS)
    return clips["frames"], clips["actions"]

  def _kinds(self, actions, shape) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Actions, and which are told, by what is asked."""
    all_told, none_told = np.ones(shape, bool), np.zeros(shape, bool)
    zeros = np.zeros((*shape, len(self._networks[0].data.axes)), np.float32)
    if actions is None:
      return {scores.UNTOLD: (zeros, none_told)}
    kinds = {"": (actions, all_told)}
    if len(actions) > 1:
      given = self._run.config.world_model.given_frames
      others = actions.copy()
      others[:, given:] = np.roll(actions, 1, axis=0)[:, given:]
      kinds[scores.OTHERS] = (others, all_told)
    return kinds | {scores.UNTOLD: (zeros, none_told)}

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
