"""What frozen tokens and features tell of shape, motion and position.

Probes are fitted on training scenes, their settings chosen on validation
scenes, and the test scenes are read once, when all probes are ready.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

import numpy as np

from magvit3d.data.clips import spread_indices
from magvit3d.data.scene_clips import SceneClips
from magvit3d.data.scene_tokens import SceneTokens
from magvit3d.data.token_records import TokenSource
from magvit3d.evaluation import checks
from magvit3d.evaluation.outputs import RunOutputs, first_of_kind
from magvit3d.evaluation.predictions import FRAME_PREDICTION
from magvit3d.evaluation.probing import questions
from magvit3d.evaluation.probing.attention import Targets, TrainedProbe
from magvit3d.evaluation.probing.cells import (
  KINDS,
  PIXELS,
  TOKENS,
  TRANSFORMER,
  CellReader,
  CellScenes,
)
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.parallel.number_types import in_own_types
from magvit3d.tokens.masked_model import TokenBatch

_ROW_NAMES = {
  TOKENS: "tokens",
  TRANSFORMER: "transformer's features",
  PIXELS: "pixels",
}
# By number, with `tokens`, `cond_tokens`, `labels`, and cameras of scenes.
TrainingTokens = Sequence[Mapping[str, np.ndarray]] | TokenSource | SceneTokens
_MOST_FREQUENT = "most frequent answer"


@dataclasses.dataclass(frozen=True)
class ProbeScenes:
  """Scenes that probes are fitted and chosen on.

  Attributes:
    reader: That made them.
    train: To fit on; cells of tokens and pixels.
    train_features: Some of them; cells of the transformer's features.
    validation: To choose on; cells of all kinds.
  """

  reader: CellReader
  train: CellScenes
  train_features: CellScenes
  validation: CellScenes

  def fitted_on(self, kind: str) -> CellScenes:
    """Returns the training scenes with cells of a kind."""
    return self.train_features if kind == TRANSFORMER else self.train


def read_scenes(
  outputs: RunOutputs,
  clips_of: Callable[[str], SceneClips],
  training_tokens: TrainingTokens | None = None,
) -> ProbeScenes:
  """Returns up to `num_probe_scenes` scenes to fit on, others to choose on.

  The transformer's features, which take the longest to make, are of at most
  `num_feature_scenes` of these.

  Args:
    outputs: Of the run.
    clips_of: Returns the scenes of a split.
    training_tokens: Of all training samples; None: they are made here.
  """
  reader = CellReader(outputs, first_of_kind(outputs.model, FRAME_PREDICTION))
  settings = outputs.settings

  def read(source, count, known=None, kinds=KINDS):
    indices = spread_indices(source, count).tolist()
    tokens = None
    if known is not None:
      tokens = _tokens_of(known, indices, len(known) // len(source))
    return reader.read(source, indices, tokens, kinds)

  train, count = clips_of("train"), settings.num_probe_scenes
  few = min(count, settings.num_feature_scenes or count)
  return ProbeScenes(
    reader,
    read(train, count, training_tokens, (TOKENS, PIXELS)),
    read(train, few, training_tokens, (TRANSFORMER,)),
    read(clips_of("validation"), count),
  )


def _tokens_of(
  known: TrainingTokens, scenes: Sequence[int], samples_per_scene: int
) -> TokenBatch:
  """The tokens of some scenes' samples."""
  rows = [
    known[scene * samples_per_scene + place]
    for scene in scenes
    for place in range(samples_per_scene)
  ]
  batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
  return TokenBatch(
    batch["tokens"],
    batch["cond_tokens"],
    batch["labels"],
    Cameras.from_batch(batch),
  )


def score(
  outputs: RunOutputs, results: Results, scenes: ProbeScenes, test: SceneClips
) -> None:
  """Adds the scores of all probes.

  Args:
    outputs: Of the run.
    results: Where they go.
    scenes: To fit on.
    test: Scenes to score on: those of `outputs.held_out`.
  """
  names = questions.class_questions(test.scenes)
  tracked = dataclasses.replace(
    scenes,
    train=scenes.train.with_known_paths(),
    train_features=scenes.train_features.with_known_paths(),
    validation=scenes.validation.with_known_paths(),
  )
  asks_positions = bool(
    scenes.train.given
    and len(tracked.train_features.labels)
    and len(tracked.validation.labels)
  )
  jobs = _class_jobs(outputs, scenes, test, names)
  if asks_positions:
    jobs |= _position_jobs(outputs, tracked)
  probes = _fit_all(jobs)
  held_out = scenes.reader.read(test, outputs.held_out.indices, outputs.tokens)
  _add_classes(results, probes, scenes, held_out, test, names)
  held_out = held_out.with_known_paths()
  if asks_positions and len(held_out.labels):
    _add_positions(results, probes, tracked, held_out)


_Answer = Callable[[CellScenes], Mapping[str, np.ndarray]]
_Key = tuple[str, str]  # What is asked, and what is read.


def _fit_all(jobs: Mapping[_Key, Callable[[], _Answer]]) -> dict[_Key, _Answer]:
  """Returns fitted probes; two at a time: one alone leaves cores idle."""
  probes = {}
  pool = futures.ThreadPoolExecutor(2)
  try:
    fits = {key: pool.submit(in_own_types(job)) for key, job in jobs.items()}
    for key, fit in fits.items():
      stage_progress.note(len(probes), len(fits))
      probes[key] = fit.result()
  finally:
    pool.shutdown(cancel_futures=True)
  return probes


def _class_jobs(
  outputs, scenes, test, names
) -> dict[_Key, Callable[[], _Answer]]:
  """Returns what fits each probe of shape and motion."""
  sizes = {question: len(answers) for question, answers in names.items()}

  def targets_of(part):
    return Targets(questions.class_answers(test.scenes, part.labels), {})

  return {
    ("classes", kind): _job(outputs, scenes, "whole", kind, targets_of, sizes)
    for kind in scenes.validation.whole
  }


def _position_jobs(outputs, scenes) -> dict[_Key, Callable[[], _Answer]]:
  """The same; all of the scenes' paths are known."""
  given_frames = scenes.reader.given_frames

  def targets_of(part):
    return Targets({}, questions.positions(part.trajectory, given_frames))

  return {
    ("positions", kind): _job(outputs, scenes, "given", kind, targets_of, {})
    for kind in scenes.validation.given
  }


def _job(
  outputs, scenes, which, kind, targets_of, sizes
) -> Callable[[], _Answer]:
  """Returns what fits a probe of a kind of cells."""

  def cells_of(part):
    return getattr(part, which)[kind]

  def fit():
    train, validation = scenes.fitted_on(kind), scenes.validation
    probe = TrainedProbe(
      cells_of(train),
      train.grid,
      targets_of(train),
      sizes,
      validation=(cells_of(validation), targets_of(validation)),
      num_steps=outputs.settings.num_probe_steps,
      seed=outputs.seed,
    )
    return lambda part: probe(cells_of(part))

  return fit


def _add_classes(results, probes, scenes, held_out, test, names) -> None:
  right = questions.class_answers(test.scenes, held_out.labels)
  known = questions.class_answers(test.scenes, scenes.train.labels)
  rows = []
  for (asked, kind), answer in probes.items():
    if asked != "classes":
      continue
    found = {
      name: logits.argmax(axis=1) for name, logits in answer(held_out).items()
    }
    accuracies = {
      name: questions.accuracy(found[name], right[name]) for name in names
    }
    rows.append([_ROW_NAMES[kind], *accuracies.values()])
    if kind != PIXELS and "motion" in names:
      best = results.measured.get("probe_motion_accuracy", 0.0)
      results.measured["probe_motion_accuracy"] = max(
        best, accuracies["motion"]
      )
    for name, answers in names.items():
      results.add_confusion(
        f"{name.capitalize()} from {_ROW_NAMES[kind]}",
        "Rows: the truth; columns: the answer of the probe.",
        answers,
        questions.confusion(found[name], right[name], len(answers)),
      )
  most_frequent = [
    np.bincount(known[name], minlength=len(names[name])).argmax()
    for name in names
  ]
  rows.append(
    [
      _MOST_FREQUENT,
      *(
        questions.accuracy(np.full_like(right[name], answer), right[name])
        for name, answer in zip(names, most_frequent, strict=True)
      ),
    ]
  )
  results.add_table(
    "Probes: classes",
    f"Share of right answers from all frames of {held_out.grid[0]} views. "
    f"{_describe(scenes)} {reused(results.split)}",
    [Column(name, "", "higher") for name in names],
    _table_rows(rows),
    n=len(held_out.labels),
  )


def _add_positions(results, probes, scenes, held_out) -> None:
  given_frames = scenes.reader.given_frames
  right = questions.positions(held_out.trajectory, given_frames)
  known = questions.positions(scenes.train.trajectory, given_frames)
  found = {
    _ROW_NAMES[kind]: answer(held_out)
    for (asked, kind), answer in probes.items()
    if asked == "positions"
  }
  baselines = questions.baseline_positions(
    held_out.trajectory,
    given_frames,
    {name: places.mean(0) for name, places in known.items()},
  )
  rows = [
    [
      row_name,
      *(
        questions.distance(guess[name], right[name]) if name in guess else None
        for name in right
      ),
    ]
    for row_name, guess in (found | baselines).items()
  ]
  _measure_positions(results, right, rows)
  results.add_table(
    "Probes: position",
    f"Mean distance in metres, from the first {given_frames} frames of "
    f"{held_out.grid[0]} views; t is the last of these. Constant velocity and "
    f"last position are told the true path up to t. {_describe(scenes)} "
    f"{reused(results.split)}",
    [Column(name, "m", "lower") for name in right],
    _table_rows(rows),
    n=len(held_out.labels),
  )


def _table_rows(rows) -> list[Row]:
  return [
    Row.of(name, "baseline" if _is_baseline(name) else "model", values)
    for name, *values in rows
  ]


def _measure_positions(results, places, rows) -> None:
  """Notes the least distances: of networks, of pixels, of known paths."""
  for name, *distances in rows:
    reader = name if _is_baseline(name) else "best"
    for place, distance in zip(places, distances, strict=True):
      key = checks.probe_key(place, reader)
      if distance is not None:
        known = results.measured.get(key, distance)
        results.measured[key] = min(known, distance)


def _is_baseline(row_name: str) -> bool:
  return row_name not in (_ROW_NAMES[TOKENS], _ROW_NAMES[TRANSFORMER])


def reused(split: str) -> str:
  """Returns a warning where scenes of a split are used before they score."""
  if split not in ("train", "validation"):
    return ""
  return (
    f"The {split} split served to fit or to choose these probes too, so that "
    "they look better than they are."
  )


def _describe(scenes: ProbeScenes) -> str:
  return (
    f"Fitted on {len(scenes.train.labels)} training scenes (the transformer's "
    f"features: {len(scenes.train_features.labels)}), chosen on "
    f"{len(scenes.validation.labels)} of validation; the networks are frozen. "
    "A probe is a small network that looks at all cells once. Pixels: the same "
    "on the images."
  )
