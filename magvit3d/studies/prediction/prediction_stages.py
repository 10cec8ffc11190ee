"""Stages of the prediction study: those that train, and the one that scores."""

import functools
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import numpy as np
from jaxtyping import PyTree

from data_gen.scenes import cues
from magvit3d.config.prediction import GUIDED, REGRESSIONS
from magvit3d.data.scene_clips import fold_views
from magvit3d.evaluation import image_metrics
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.metres import path_tables, run_paths, scenes
from magvit3d.evaluation.metres.baselines import BACKGROUND_ONLY, COPY_LAST
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.evaluation.outputs import to_uint8
from magvit3d.evaluation.results import Results
from magvit3d.monitoring import stage_progress
from magvit3d.run.data import RunData
from magvit3d.run.stages import Run, Stage
from magvit3d.run.training_stages import TokenizerTraining
from magvit3d.studies.prediction import (
  class_samples,
  cue_scores,
  phyworld_motion,
  phyworld_scores,
  split_scores,
)
from magvit3d.studies.prediction.prediction_clips import PredictionClips
from magvit3d.studies.prediction.prediction_scores import (
  Predicted,
  PredictionScores,
  foreground_by_scene,
)
from magvit3d.studies.prediction.predictor_training import PredictorTraining
from magvit3d.studies.prediction.regression_training import (
  GuidedTraining,
  RegressionTraining,
)
from magvit3d.studies.prediction.split_scores import SplitScores
from magvit3d.studies.prediction.token_training import (
  AutoregressiveTraining,
  MaskedTraining,
)
from magvit3d.studies.study_evaluation import StudyEvaluation


def _training_of(name: str) -> type[PredictorTraining]:
  if name in GUIDED:
    return GuidedTraining
  if name in REGRESSIONS:
    return RegressionTraining
  return MaskedTraining if name == "masked" else AutoregressiveTraining


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages, by name."""
  clips = PredictionClips(run)
  stages: dict[str, Callable[[Run], Stage]] = {
    name: functools.partial(_training_of(name), name=name, clips=clips)
    for name in run.config.prediction.networks
  }
  evaluate = {
    "evaluate": lambda run: PredictionEvaluation(
      run, [make(run) for make in stages.values()], clips
    )
  }
  own = clips.tokenizer_run
  tokenizer = {"tokenizer": lambda run: TokenizerTraining(own)} if own else {}
  return tokenizer | stages | evaluate


class PredictionEvaluation(StudyEvaluation):
  """Scores all predictors on the same held-out clips."""

  parts = MappingProxyType(
    {
      "networks": 1.0,
      "predictions": 30.0,
      "paths": 20.0,
      "classes": 20.0,
      "other splits": 60.0,
      "tables": 3.0,
    }
  )

  def __init__(
    self,
    run: Run,
    trainings: list[PredictorTraining],
    clips: PredictionClips,
  ):
    super().__init__(run, trainings)
    self._predictors, self._clips = trainings, clips

  def score(self, params: Mapping[str, PyTree]) -> Results:
    """Returns one table of all predictors, baselines and floors."""
    config = self._run.config.prediction
    stage_progress.begin("predictions")
    data = self._run.data
    assert isinstance(data, RunData)
    held_out = data.held_out_scenes(config.split, config.num_clips, None)
    clips = fold_views(held_out.samples)
    clips |= self._clips.tokenize(clips)
    predicted = {}
    for number, stage in enumerate(self._predictors):
      stage_progress.note(number, len(self._predictors))
      predicted[stage.name] = self._predict(stage, params[stage.name], clips)
    real = clips["frames"].astype(np.float32) / 255
    others = {
      COPY_LAST: image_metrics.copy_last(real, config.given_frames),
      BACKGROUND_ONLY: image_metrics.background_only(
        clips["background"], real.shape
      ),
      RECONSTRUCTIONS: self._clips.decode(clips["tokens"]),
    }
    is_object = clips["masks"] > 0
    results = Results(config.split, bool(is_object.any()))
    num_views = len(held_out.views)
    scores = PredictionScores(
      results, predicted, others, real, is_object, num_views, config
    )
    stage_progress.begin("paths")
    made = {name: made.clips for name, made in predicted.items()}
    tally = self._tally(held_out, made, others[RECONSTRUCTIONS])
    scores.add(tally)
    if tally is not None and num_views > 1:
      given = f"The first {config.given_frames} frames are given."
      lines = tally.lines(self._run.config.seed)
      path_tables.add_tables(results, "Predicted paths", given, lines)
    if config.class_conditional:
      stage_progress.begin("classes")
      self._score_classes(results, params, clips)
    stage_progress.begin("other splits")
    if phyworld_motion.arguments(data):
      made |= {name: others[name] for name in (COPY_LAST, RECONSTRUCTIONS)}
      self._score_velocities(results, params, held_out, made)
    else:
      foreground = dict(scores.foreground)
      del foreground[BACKGROUND_ONLY]
      known = SplitScores.of(config.split, foreground, tally)
      self._score_other_splits(results, params, known)
    names = np.array(held_out.class_names)[clips["labels"]]
    scores.show(names.tolist(), clips["frames"])
    return results

  def _score_classes(
    self,
    results: Results,
    params: Mapping[str, PyTree],
    real: Mapping[str, np.ndarray],
  ) -> None:
    """Adds what clips of a class are worth, and some of them to show."""
    config, data, shared = self._run.config, self._run.data, self._clips
    source = data.clips("train").scenes
    num_classes = len(source.class_names)
    count = config.prediction.num_samples_per_class
    labels = np.repeat(np.arange(num_classes, dtype=np.int32), count)
    samples = {
      stage.name: grids
      for stage in self._predictors
      if (grids := stage.sample(params[stage.name], labels)) is not None
    }
    if not samples:
      return
    number = config.train_prediction.num_validation_clips
    validation = data.some_clips("validation", number)
    classifier = class_samples.SampleClassifier(
      shared.tokenizer.codebook,
      source,
      shared.training_tokens(),
      validation | shared.tokenize(validation),
      config.prediction.num_classifier_steps,
      config.seed,
    )
    class_samples.add_table(
      results, classifier, samples, labels, real, config.seed
    )
    first = np.arange(num_classes) * count
    made = [to_uint8(shared.decode(grids[first])) for grids in samples.values()]
    # A real one of each class that is there.
    shown = [int((real["labels"] == label).argmax()) for label in labels[first]]
    is_there = np.isin(labels[first], real["labels"])
    results.shown |= {
      "samples/frames": np.stack(made, axis=1)[is_there],
      "samples/real": real["frames"][shown][is_there],
      "samples/heads": np.array(list(samples)),
      "samples/class_names": np.array(source.class_names)[is_there],
    }

  def _score_other_splits(
    self, results: Results, params: Mapping[str, PyTree], known: SplitScores
  ) -> None:
    """Adds a table of splits out of distribution, if there are any.

    Args:
      results: Where it goes.
      params: Of all predictors, by name.
      known: Scores in distribution.
    """
    config, data = self._run.config.prediction, self._run.data
    splits = [s for s in data.splits() if s.startswith("ood_")]
    found, given = [known], config.given_frames
    for number, split in enumerate(splits):
      stage_progress.note(number, len(splits))
      held_out = data.held_out_scenes(split, config.num_clips, None)
      clips = fold_views(held_out.samples)
      made = self._made(params, held_out)
      tally = self._tally(
        held_out,
        {stage.name: made[stage.name] for stage in self._predictors},
        made[RECONSTRUCTIONS],
      )
      foreground = {
        name: foreground_by_scene(
          array[:, given:],
          clips["frames"][:, given:].astype(np.float32) / 255,
          clips["masks"][:, given:] > 0,
          len(held_out.views),
        )
        for name, array in made.items()
      }
      found.append(SplitScores.of(split, foreground, tally))
    if splits:
      split_scores.add_table(results, found)

  def _score_velocities(
    self,
    results: Results,
    params: Mapping[str, PyTree],
    held_out: HeldOutScenes,
    made: Mapping[str, np.ndarray],
  ) -> None:
    """Adds PhyWorld's scores, of splits out of distribution too.

    Args:
      results: Where they go.
      params: Of all predictors, by name.
      held_out: Scenes in distribution.
      made: Clips of the same by what made them, in [0, 1].
    """
    config, data = self._run.config.prediction, self._run.data
    assert isinstance(data, RunData)
    scores = phyworld_scores.PhyWorldScores(config)
    scores.measure(held_out, made)
    splits = phyworld_motion.further_splits(data)
    for number, split in enumerate(splits):
      stage_progress.note(number, len(splits))
      found = data.held_out_scenes(split, config.num_clips, None)
      scores.measure(found, self._made(params, found))
    scores.add(results)
    text = phyworld_motion.arguments(data)["cues"]
    if text and cues.SPLIT in data.splits():
      found = data.held_out_scenes(cues.SPLIT, config.num_clips, None)
      cue_scores.add(results, found, self._made(params, found), text)

  def _made(
    self, params: Mapping[str, PyTree], held_out: HeldOutScenes
  ) -> dict[str, np.ndarray]:
    """Returns clips in [0, 1] by what made them."""
    given = self._run.config.prediction.given_frames
    clips = fold_views(held_out.samples)
    clips |= self._clips.tokenize(clips)
    real = clips["frames"].astype(np.float32) / 255
    found = {}
    for stage in self._predictors:
      made = np.array(stage.predict(params[stage.name], clips))
      made[:, :given] = real[:, :given]
      found[stage.name] = made
    return found | {
      COPY_LAST: image_metrics.copy_last(real, given),
      RECONSTRUCTIONS: self._clips.decode(clips["tokens"]),
    }

  def _predict(
    self,
    stage: PredictorTraining,
    params: PyTree,
    clips: Mapping[str, np.ndarray],
  ) -> Predicted:
    few = {
      key: value[: self._run.config.prediction.eval_batch_size]
      for key, value in clips.items()
    }
    stage.predict(params, few)  # Compiles.
    start = time.monotonic()
    made = np.array(stage.predict(params, clips))
    seconds = time.monotonic() - start
    given = self._run.config.prediction.given_frames
    made[:, :given] = clips["frames"][:, :given].astype(np.float32) / 255
    return Predicted(
      made,
      sum(leaf.size for leaf in jax.tree.leaves(params)),
      self.training_seconds(stage.name),
      len(made) / seconds,
      stage.latent_losses(params, clips),
    )

  def _tally(
    self,
    held_out: HeldOutScenes,
    predicted: Mapping[str, np.ndarray],
    reconstructions: np.ndarray,
  ) -> SceneTally | None:
    """Scores against the scenes' records; None where these tell nothing."""
    source = held_out.source
    if source is None or scenes.reason_against(source, least_views=1):
      return None
    shape = held_out.samples["frames"].shape

    def by_scene(made):
      return to_uint8(made).reshape(shape)

    return run_paths.score_paths(
      held_out,
      self._run.config.prediction.given_frames,
      {name: by_scene(made) for name, made in predicted.items()},
      floors={RECONSTRUCTIONS: by_scene(reconstructions)},
    )
