"""Clips that the transformer makes of a class alone, and what they are worth.

A classifier is fitted on the tokens of real training samples. Its accuracy on
real held-out ones comes first: what it says of generated ones is worth no more.
"""

import dataclasses

import numpy as np
from absl import logging
from jaxtyping import Int

from magvit3d.data.clips import spread_indices
from magvit3d.data.scene_clips import SceneClips
from magvit3d.evaluation.outputs import (
  RunOutputs,
  first_of_kind,
  side_by_side,
  to_uint8,
)
from magvit3d.evaluation.probing import probes, questions, token_distances
from magvit3d.evaluation.probing.attention import Targets, TrainedProbe
from magvit3d.evaluation.probing.cells import TOKENS, CellScenes
from magvit3d.evaluation.probing.probes import ProbeScenes, TrainingTokens
from magvit3d.evaluation.published.frechet_distance import (
  MIN_SAMPLES,
  FrechetDistance,
  frechet_distance,
)
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Role, Row

FRECHET = "frechet_magvit3d_token_classifier"
_TASK = "full_generation"
_NUM_CONVOLUTIONS = 2  # Of the classifier.
_GENERATED = "generated"
_REAL = "floor: real, held out"
_RANDOM = "codes drawn at random"


@dataclasses.dataclass(frozen=True)
class Samples:
  """What was made of classes.

  Attributes:
    grids: Tokens of the transformer's samples.
    labels: The classes, as many of each, in a row.
    task_index: Of the task that made them.
  """

  grids: Int[np.ndarray, "n t h w"]
  labels: Int[np.ndarray, " n"]
  task_index: int


@dataclasses.dataclass(frozen=True)
class KnownSamples:
  """Training samples, which the generated may repeat.

  Attributes:
    grids: Their tokens.
    labels: Their classes.
  """

  grids: Int[np.ndarray, "k t h w"]
  labels: Int[np.ndarray, " k"]


def known_samples(
  scenes: CellScenes, tokens: TrainingTokens | None
) -> KnownSamples:
  """Returns all training samples; those of some scenes if no others are kept.

  Args:
    scenes: Some training scenes.
    tokens: Of all training samples, where they are kept.
  """
  if tokens is None:
    per_scene = len(scenes.tokens) // len(scenes.labels)
    return KnownSamples(scenes.tokens, np.repeat(scenes.labels, per_scene))
  rows = [tokens[i] for i in range(len(tokens))]
  return KnownSamples(
    *(np.stack([row[key] for row in rows]) for key in ("tokens", "labels"))
  )


def draw(outputs: RunOutputs) -> Samples | None:
  """Returns samples of all classes; None without such a task."""
  index = first_of_kind(outputs.model, _TASK)
  if index is None:
    return None
  num_classes = len(outputs.held_out.class_names)
  count = outputs.settings.num_samples_per_class
  labels = np.repeat(np.arange(num_classes), count)
  grids = outputs.generate(index, outputs.nothing_given(labels))
  return Samples(grids, labels, index)


def show(outputs: RunOutputs, results: Results, samples: Samples) -> None:
  """Adds some samples of each class to the clips to show, and a real one."""
  class_names = outputs.held_out.class_names
  num_classes, num_views = len(class_names), outputs.model.num_views
  count = outputs.settings.num_shown_samples_per_class
  chosen = token_distances.balanced(samples.labels, count, num_classes)
  clips = side_by_side(
    to_uint8(outputs.decode(samples.grids[chosen])), num_views
  )
  known = side_by_side(outputs.clips["frames"], num_views)
  real = []
  for label in range(num_classes):
    of_class = np.flatnonzero(outputs.samples["labels"] == label)
    real.append(known[of_class[0]] if of_class.size else 0 * known[0])
  results.shown |= {
    "samples/frames": clips.reshape(num_classes, -1, *clips.shape[1:]),
    "samples/class_names": np.array(class_names),
    "samples/real": np.stack(real),
  }


def score(
  outputs: RunOutputs,
  results: Results,
  samples: Samples,
  scenes: ProbeScenes,
  known: KnownSamples,
  test: SceneClips,
) -> None:
  """Adds class accuracy, Frechet distance, variety and nearest neighbours.

  Samples of a task that is not told the class are left out.

  Args:
    outputs: Of the run.
    results: Where they go.
    samples: What is scored.
    scenes: Training scenes, and others to choose the classifier on.
    known: Training samples, to fit the classifier on.
    test: Scenes of the split that is scored on.
  """
  if not outputs.model.tasks[samples.task_index].class_conditional:
    logging.info("Samples are not scored: %s is not told the class.", _TASK)
    return
  names = questions.class_questions(test.scenes)

  def answers_of(labels):
    return questions.class_answers(test.scenes, labels)

  validation = _as_samples(scenes.validation, outputs.model.num_views)
  fitted_on = spread_indices(
    known.labels, outputs.settings.num_classifier_samples
  )
  grid = (outputs.model.num_views, *scenes.train.grid[1:])
  classifier = TrainedProbe(
    scenes.reader.token_cells(known.grids[fitted_on]),
    grid,
    Targets(answers_of(known.labels[fitted_on]), {}),
    {question: len(answers) for question, answers in names.items()},
    validation=(validation[0], Targets(answers_of(validation[1]), {})),
    num_steps=outputs.settings.num_classifier_steps,
    seed=outputs.seed,
    num_convolutions=_NUM_CONVOLUTIONS,
  )
  real_grids, real_labels = outputs.tokens.tokens, outputs.samples["labels"]
  random = np.random.default_rng(outputs.seed).integers(
    outputs.model.vocabulary.codebook_size, size=samples.grids.shape
  )
  rows, features = [], {}
  measured_as = {_GENERATED: "sample", _REAL: "classifier"}
  for row_name, grids, labels in (
    (_GENERATED, samples.grids, samples.labels),
    (_REAL, real_grids, real_labels),
    (_RANDOM, random, samples.labels),
  ):
    cells = scenes.reader.token_cells(grids)
    features[row_name] = classifier.features(cells)
    logits, right = classifier(cells), answers_of(labels)
    found = {name: logits[name].argmax(axis=1) for name in names}
    accuracies = {
      name: questions.accuracy(found[name], right[name]) for name in names
    }
    rows.append([row_name, len(grids), *accuracies.values()])
    if row_name == _RANDOM:
      continue
    for name, accuracy in accuracies.items():
      results.measured[f"{measured_as[row_name]}_{name}_accuracy"] = accuracy
    for name, answers in names.items():
      results.add_confusion(
        f"{name.capitalize()}: {row_name.removeprefix('floor: ')}",
        "The classifier of samples. Rows: the class that was asked for, or is "
        "true; columns: what the classifier sees.",
        answers,
        questions.confusion(found[name], right[name], len(answers)),
      )
  _add_distances(
    results, rows, features, samples, outputs, known.grids, names, fitted_on
  )


def _add_distances(
  results, rows, features, samples, outputs, known, names, fitted_on
) -> None:
  """Adds the table of samples: accuracy, and what tells of memorising."""
  real_grids, real_labels = outputs.tokens.tokens, outputs.samples["labels"]
  real = features[_REAL]
  order = outputs.held_out.apart(len(real))
  # All against one half of the real ones, which has no scene in common with
  # the other, and as many of each: the distance depends on both counts.
  half, other_half = real[order[::2]], real[order[1::2]]
  count = min(len(other_half), len(samples.grids))
  spread_out = np.arange(count) * len(samples.grids) // max(count, 1)
  distances = {
    _GENERATED: _distance(half, features[_GENERATED][spread_out]),
    _REAL: _distance(half, other_half[:count]),
    _RANDOM: _distance(half, features[_RANDOM][spread_out]),
  }
  biased = distances[_GENERATED].note if distances[_GENERATED] else ""
  spreads = {
    _GENERATED: token_distances.spread(samples.grids, samples.labels),
    _REAL: token_distances.spread(real_grids, real_labels),
  }
  nearest = {
    _GENERATED: token_distances.nearest(samples.grids, known),
    _REAL: token_distances.nearest(real_grids, known),
  }
  # Nearer to training data than all but one in a hundred real samples.
  limit = float(np.quantile(nearest[_REAL], 0.01))
  for row in rows:
    name = row[0]
    distance = distances[name]
    row += [distance and distance.value, spreads.get(name)]
    near = nearest.get(name)
    row += (
      [None, None]
      if near is None
      else [float(near.mean()), float((near < limit).mean())]
    )
  roles: dict[str, Role] = {
    _GENERATED: "model",
    _REAL: "floor",
    _RANDOM: "baseline",
  }
  results.add_table(
    "Samples of a class",
    "Accuracy: of a classifier of tokens, fitted on "
    f"{len(fitted_on)} real training samples; it cannot say more of "
    "generated samples than of real ones. Random codes: by chance. "
    f"{FRECHET}: Frechet distance of this classifier's "
    f"{real.shape[1]} features, {count} of each row against {len(half)} real "
    "ones of other scenes; it compares runs of the same data and n only, and "
    f"is no FVD. {biased} Variety: share of tokens that "
    "differ between two samples of a class. Nearest: share that differ from "
    f"the nearest of {len(known)} training samples; memorised: samples that "
    f"are nearer than 99 in 100 real ones. {probes.reused(results.split)}",
    [
      Column("n", "", None),
      *(Column(name, "", "higher") for name in names),
      Column(FRECHET, "", "lower"),
      Column("variety", "", None),
      Column("nearest", "", None),
      Column("memorised", "", None),
    ],
    [Row.of(name, roles[name], values) for name, *values in rows],
    n=len(samples.labels),
  )


def _distance(real, others) -> FrechetDistance | None:
  """None where one of the sets has no covariance."""
  if min(len(real), len(others)) < MIN_SAMPLES:
    return None
  return frechet_distance(real, others)


def _as_samples(scenes: CellScenes, num_views: int) -> tuple:
  """Cells and labels of what the transformer sees at once."""
  cells, labels = scenes.whole[TOKENS], scenes.labels
  per_scene = scenes.grid[0] // num_views
  n, m, d = cells.shape
  cells = cells.reshape(n * per_scene, m // per_scene, d)
  return cells, np.repeat(labels, per_scene)
