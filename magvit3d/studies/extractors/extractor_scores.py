"""What the extractors' answers are worth: tables, confusions, checks."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from magvit3d.config.studies import ExtractorsConfig
from magvit3d.evaluation import checks
from magvit3d.evaluation.probing import questions
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Cell, Column, Row
from magvit3d.studies.ratios import Ratio

PARTS = MappingProxyType({"networks": 1.0, "answers": 12.0, "tables": 1.0})
AHEAD = (1, 5)  # Frames after the last given one.
_PLACES = tuple(map(questions.name_of, AHEAD))
_ALL, _ONE = "all cameras", "one camera"
_Answers = Callable[..., tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Asked:
  """A network's answers on the test scenes.

  Attributes:
    logits: (n, k) by cameras: `_ALL`, or (v, n, k) of `_ONE`.
    positions: (n, t, 3) and (v, n, t, 3) likewise, metres.
    clips_per_second: Clips of one camera, all cameras together.
  """

  logits: Mapping[str, np.ndarray]
  positions: Mapping[str, np.ndarray]
  clips_per_second: float


@dataclasses.dataclass(frozen=True)
class Cost:
  """What a network took.

  Attributes:
    parameters: Count.
    seconds: Of training; None: not known.
  """

  parameters: int
  seconds: float | None


def ask(answer: _Answers, seen: np.ndarray) -> Asked:
  """Returns what a network answers, of all cameras and of each alone.

  Args:
    answer: Takes scenes and a camera, or None.
    seen: What the cameras saw, (n, v, ...).
  """
  answer(seen)  # Compiles.
  start = time.monotonic()
  of_all = answer(seen)
  seconds = time.monotonic() - start
  count, num_cameras = seen.shape[:2]
  alone = [answer(seen, camera) for camera in range(num_cameras)]
  return Asked(
    *(
      {_ALL: of_all[i], _ONE: np.stack([found[i] for found in alone])}
      for i in range(2)
    ),
    clips_per_second=count * num_cameras / seconds,
  )


def tables(
  answers: Mapping[str, Asked],
  truth: Mapping[str, np.ndarray],
  *,
  training_positions: Float[np.ndarray, "n t 3"],
  training_motions: Int[np.ndarray, " n"],
  motion_names: Sequence[str],
  config: ExtractorsConfig,
  split: str,
  costs: Mapping[str, Cost],
) -> Results:
  """Returns all scores, and the checks of `config.extractors`.

  Args:
    answers: By network.
    truth: `motion` (n,) and `positions` (n, t, 3), metres.
    training_positions: Whose mean is a baseline.
    training_motions: Whose most frequent one is another.
    motion_names: By number.
    config: `config.extractors`.
    split: That was read.
    costs: By network.
  """
  results = Results(split, has_objects=True)
  scored = _Scored(answers, truth, config, motion_names, training_positions)
  results.checks = scored.checks()
  _add_classes(results, scored, training_motions)
  _add_positions(results, scored)
  _add_costs(results, answers, costs)
  return results


class _Scored:
  """Right answers and errors, scene by scene."""

  def __init__(self, answers, truth, config, motion_names, training_positions):
    self.config, self.names = config, tuple(motion_names)
    self.motions: np.ndarray = truth["motion"]
    self.positions: np.ndarray = truth["positions"]
    self.answers = answers
    # By network and cameras: share of right answers a scene, (n,).
    self.right = {
      (name, cameras): np.atleast_2d(logits.argmax(-1) == self.motions)
      .mean(0)
      .astype(float)
      for name, asked in answers.items()
      for cameras, logits in asked.logits.items()
    }
    last = config.given_frames - 1
    places = {
      place: last + ahead for place, ahead in zip(_PLACES, AHEAD, strict=True)
    }
    # By network, cameras and place: distance a scene, metres.
    self.errors = {
      (name, cameras, place): _distance(
        positions[..., frame, :], self.positions[:, frame]
      )
      for name, asked in answers.items()
      for cameras, positions in asked.positions.items()
      for place, frame in places.items()
    }
    self.baselines = self._baselines(training_positions)

  def class_accuracies(self, name, cameras) -> list[float]:
    right = self.right[name, cameras]
    return [
      float(right[self.motions == k].mean()) for k in range(len(self.names))
    ]

  def _baselines(self, training_positions) -> dict[str, dict[str, np.ndarray]]:
    """Distances (n,) by baseline and place."""
    given = self.config.given_frames
    known = questions.positions(training_positions, given)
    right = questions.positions(self.positions, given)
    guesses = questions.baseline_positions(
      self.positions,
      given,
      {place: values.mean(0) for place, values in known.items()},
    )
    return {
      name: {
        place: _distance(guess, right[place])
        for place, guess in found.items()
        if place in _PLACES
      }
      for name, found in guesses.items()
    }

  def checks(self) -> list[dict]:
    config, made = self.config, []
    velocity = self.baselines["constant velocity"]
    for name in self.answers:
      accuracy = float(self.right[name, _ALL].mean())
      if config.min_accuracy is not None:
        made.append(
          checks.check(
            f"{name}: accuracy of motions, {_ALL}",
            accuracy,
            config.min_accuracy,
            ">=",
          )
        )
      if config.min_class_accuracy is not None:
        made.append(
          checks.check(
            f"{name}: the same in its worst motion",
            min(self.class_accuracies(name, _ALL)),
            config.min_class_accuracy,
            ">=",
          )
        )
      if config.positions_below_constant_velocity:
        made += [
          checks.check(
            f"{name}: position at {place}, {_ALL}: below constant velocity",
            float(self.errors[name, _ALL, place].mean()),
            float(distances.mean()),
            "<",
            "m",
          )
          for place, distances in velocity.items()
        ]
    return made


def _distance(guess: np.ndarray, right: np.ndarray) -> np.ndarray:
  """Distances a scene, (n,); the mean of those of several cameras."""
  distances = np.linalg.norm(guess - right, axis=-1)
  return np.atleast_2d(distances).mean(0)


def _cell(values: np.ndarray) -> Cell:
  return Ratio.mean(values.astype(float)).cell()


def _add_classes(results, scored, training_motions) -> None:
  columns = [Column("accuracy", "", "higher")]
  columns += [Column(name, "", "higher") for name in scored.names]
  n = len(scored.motions)
  most = np.bincount(training_motions, minlength=len(scored.names)).argmax()
  guessed = np.mean(scored.motions == most)
  for cameras in (_ALL, _ONE):
    rows = [
      Row.of(
        name,
        "model",
        [
          _cell(scored.right[name, cameras]),
          *scored.class_accuracies(name, cameras),
        ],
      )
      for name in scored.answers
    ]
    of_classes = [float(k == most) for k in range(len(scored.names))]
    rows.append(
      Row.of("most frequent motion", "baseline", [float(guessed), *of_classes])
    )
    results.add_table(
      f"Motion from the first {scored.config.given_frames} frames, {cameras}",
      "Share of right answers, [95% interval, bootstrap over scenes], and in "
      "each motion. One camera: the mean over the cameras, each alone. The "
      "same network answers both: in training half of the scenes have one "
      "camera.",
      columns,
      rows,
      n=n,
    )
  for name, asked in scored.answers.items():
    results.add_confusion(
      f"Motion by {name}",
      f"{_ALL.capitalize()}. Rows: the truth; columns: the answer.",
      scored.names,
      questions.confusion(
        asked.logits[_ALL].argmax(-1), scored.motions, len(scored.names)
      ),
    )


def _add_positions(results, scored) -> None:
  kinds = [(c, place) for c in (_ALL, _ONE) for place in _PLACES]
  rows = [
    Row.of(name, "model", [_cell(scored.errors[name, c, p]) for c, p in kinds])
    for name in scored.answers
  ]
  for name, found in scored.baselines.items():
    cells = [_cell(found[place]) for place in _PLACES]
    rows.append(Row.of(name, "baseline", cells * 2))
  given = scored.config.given_frames
  results.add_table(
    f"Position from the first {given} frames",
    "Mean distance in metres, [95% interval, bootstrap over scenes]; t is the "
    "last given frame. Constant velocity and last position are told the true "
    "path up to t; the networks see pictures alone.",
    [Column(f"{place}, {cameras}", "m", "lower") for cameras, place in kinds],
    rows,
    n=len(scored.motions),
  )
  _add_positions_by_motion(results, scored)
  frames = np.arange(scored.positions.shape[1])
  lines = [
    {
      "name": name,
      "x": (frames + 1).tolist(),
      "y": np.linalg.norm(asked.positions[_ALL] - scored.positions, axis=-1)
      .mean(0)
      .tolist(),
      "is_baseline": False,
    }
    for name, asked in scored.answers.items()
  ]
  velocity = velocity_line(scored.positions, given)
  results.add_plot(
    "Error of the position by frame",
    f"{_ALL.capitalize()}. The first {given} frames are seen. Constant "
    "velocity is told the true path of these.",
    ("frame", "mean distance, m"),
    [*lines, velocity],
  )


def _add_positions_by_motion(results, scored) -> None:
  def cells(distances):
    return [
      float(distances[place][scored.motions == k].mean())
      for place in _PLACES
      for k in range(len(scored.names))
    ]

  rows = [
    Row.of(
      name,
      "model",
      cells({place: scored.errors[name, _ALL, place] for place in _PLACES}),
    )
    for name in scored.answers
  ]
  rows += [
    Row.of(name, "baseline", cells(found))
    for name, found in scored.baselines.items()
  ]
  results.add_table(
    "Position by motion",
    f"The same means, {_ALL}, over the scenes of each motion.",
    [
      Column(f"{place}, {name}", "m", "lower")
      for place in _PLACES
      for name in scored.names
    ],
    rows,
    n=len(scored.motions),
  )


def velocity_line(paths: Float[np.ndarray, "n t 3"], given: int) -> dict:
  """Returns the error of constant velocity by frame, to plot."""
  last = paths[:, given - 1]
  velocity = last - paths[:, given - 2]
  ahead = np.arange(1, paths.shape[1] - given + 1)
  guess = last[:, None] + ahead[:, None] * velocity[:, None]
  errors = np.linalg.norm(guess - paths[:, given:], axis=-1).mean(0)
  return {
    "name": "constant velocity",
    "x": (given + ahead).tolist(),
    "y": errors.tolist(),
    "is_baseline": True,
  }


def _add_costs(results, answers, costs) -> None:
  rows = []
  for name, asked in answers.items():
    seconds = costs[name].seconds
    rows.append(
      Row.of(
        name,
        "model",
        [
          costs[name].parameters,
          None if seconds is None else round(seconds),
          round(asked.clips_per_second),
        ],
      )
    )
  results.add_table(
    "What they take",
    "Training: the stage's time, with reading, compiling and validation. Clips "
    "of one camera a second: answers about the test scenes, on the machine of "
    "the passport; the tokenizer's time is not in that of magvit.",
    [
      Column("parameters", "", "lower"),
      Column("training", "s", "lower"),
      Column("clips a second", "", "higher"),
    ],
    rows,
    n=math.prod(next(iter(answers.values())).logits[_ONE].shape[:2]),
  )
