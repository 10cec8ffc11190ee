"""Predictions of PhyWorld's scenes by its own score; see docs/phyworld.md."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from data_gen.scenes.phyworld_laws import FRAME_S
from magvit3d.config.prediction import PredictionConfig
from magvit3d.evaluation import checks, velocity_error
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.metres.baselines import COPY_LAST
from magvit3d.evaluation.metres.scene_scores import CONSTANT_VELOCITY
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS
from magvit3d.evaluation.outputs import to_uint8
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Cell, Column, Role, Row, Table
from magvit3d.evaluation.velocity_error import VelocityErrors
from magvit3d.studies.prediction.phyworld_motion import (
  OOD_SPLITS,
  TRUE_CLIPS,
  TrueMotion,
)
from magvit3d.studies.ratios import Ratio

TITLES = {
  COPY_LAST: "copy of the last given frame",
  CONSTANT_VELOCITY: "constant velocity, as found in the given frames",
  RECONSTRUCTIONS: "floor: true frames through the tokenizer",
  TRUE_CLIPS: "floor: true frames",
}
ROLES: Mapping[str, Role] = {
  COPY_LAST: "baseline",
  CONSTANT_VELOCITY: "baseline",
  RECONSTRUCTIONS: "floor",
  TRUE_CLIPS: "floor",
}
_UNIT = "units/s"
# Errors in and out of distribution: arXiv 2411.02385 (ICML 2025).
_PUBLISHED: tuple[tuple[str, Role, float, float | None], ...] = (
  ("DiT-S, 30K clips", "model", 0.022, None),
  ("DiT-L, 3M clips", "model", 0.012, 0.427),
  ("floor: true frames", "floor", 0.010, None),
)


class PhyWorldScores:
  """Velocity errors by split and by what made the clips.

  Args:
    config: `config.prediction`.
  """

  def __init__(self, config: PredictionConfig):
    self._config = config
    self._errors: dict[str, dict[str, VelocityErrors]] = {}

  def measure(
    self,
    held_out: HeldOutScenes,
    made: Mapping[str, Float[np.ndarray, "n t h w 3"]],
  ) -> None:
    """Scores the clips of a split.

    Args:
      held_out: Its scenes; the first ones are those in distribution.
      made: Clips of the same by what made them, in [0, 1].
    """
    given, truth = self._config.given_frames, TrueMotion.read(held_out)
    true = held_out.samples["frames"][:, 0]
    clips = {name: to_uint8(made[name]) for name in made} | {TRUE_CLIPS: true}
    found = {
      name: velocity_error.score(made, truth.paths, truth.radii, given)
      for name, made in clips.items()
    }
    if given > 1:
      found[CONSTANT_VELOCITY] = dataclasses.replace(
        found[TRUE_CLIPS], errors=_constant_velocity(true, truth, given)
      )
    self._errors[held_out.split] = found

  def add(self, results: Results) -> None:
    """Adds tables, a plot and checks."""
    splits = list(self._errors)
    inside = splits[0]
    names = [n for n in self._errors[inside] if n in _models(self._errors)]
    names += [n for n in TITLES if n in self._errors[inside]]
    columns = [
      Column("in distribution", "", "lower"),
      *(Column(OOD_SPLITS[split], "", "lower") for split in splits[1:]),
    ]
    is_further = len(splits) > 1
    further = [Column("out over in", "", "lower")] * is_further
    counts = ", ".join(
      f"{len(found[TRUE_CLIPS].counts)} of {split}"
      for split, found in self._errors.items()
    )
    results.add_table(
      "Velocity error",
      f"The first {self._config.given_frames} frames are given. Mean over the "
      "other frames, with the true discs wholly inside the image, of the "
      "distance of the velocity found in the pixels to the true one; [95% "
      "interval, bootstrap over scenes]. Where no disc is found, it counts as "
      "one that stands still. Out over in: of all frames out. Clips: "
      f"{counts}.",
      [*columns, *further],
      [
        Row.of(
          TITLES.get(name, name),
          ROLES.get(name, "model"),
          [
            *(self._mean([split], name).cell() for split in splits),
            *[self.ratio(name)] * is_further,
          ],
        )
        for name in names
      ],
      n=len(self._errors[inside][TRUE_CLIPS].counts),
      unit=_UNIT,
    )
    results.add_table(
      "Discs that were not found",
      "Share of the frames that count.",
      columns,
      [
        Row.of(
          TITLES.get(name, name),
          ROLES.get(name, "model"),
          [self._missing(split, name) for split in splits],
        )
        for name in names
        if name != CONSTANT_VELOCITY
      ],
      n=len(self._errors[inside][TRUE_CLIPS].counts),
    )
    _add_published(results)
    self._add_plot(results, inside, names)
    self._add_checks(results, inside)

  def ratio(self, name: str) -> float | None:
    """Returns the error out of distribution over that in it."""
    inside, *outside = self._errors
    if not outside:
      return None
    return self._mean(outside, name).value / self._mean([inside], name).value

  def _mean(self, splits: list[str], name: str) -> Ratio:
    found = [self._errors[split][name] for split in splits]
    return Ratio(
      np.concatenate([errors.sums for errors in found]),
      np.concatenate([errors.counts for errors in found]),
    )

  def _missing(self, split: str, name: str) -> Cell:
    errors = self._errors[split][name]
    return Ratio(errors.missing, errors.counts).cell()

  def _add_plot(self, results, inside, names) -> None:
    given = self._config.given_frames
    models = _models(self._errors)
    series = []
    for name in names:
      by_frame = self._errors[inside][name].by_frame[given:]
      known = np.flatnonzero(np.isfinite(by_frame))
      series.append(
        {
          "name": TITLES.get(name, name),
          "x": (known + given + 1).tolist(),
          "y": by_frame[known].tolist(),
          "is_baseline": name not in models,
        }
      )
    results.add_plot(
      "Velocity error by frame",
      f"In distribution; the first {given} frames are given.",
      ("frame", f"velocity error, {_UNIT}"),
      series,
    )

  def _add_checks(self, results, inside) -> None:
    config = self._config
    for name in _models(self._errors):
      if config.max_velocity_error is not None:
        results.checks.append(
          checks.check(
            f"{name}: velocity error in distribution",
            self._mean([inside], name).value,
            config.max_velocity_error,
            "<=",
            _UNIT,
          )
        )
      if config.max_velocity_ratio is not None:
        results.checks.append(
          checks.check(
            f"{name}: velocity error out of distribution over that in it",
            self.ratio(name),
            config.max_velocity_ratio,
            "<=",
            "",
          )
        )


def _models(errors) -> list[str]:
  first = next(iter(errors.values()))
  return [name for name in first if name not in TITLES]


def _constant_velocity(clips, truth, given) -> Float[np.ndarray, "n t"]:
  """Errors of discs that go on as in the last two given frames."""
  found = np.stack(
    [
      velocity_error.find_discs(clip[:given], radii)
      for clip, radii in zip(clips, truth.radii, strict=True)
    ]
  )
  known = (found[:, :, -1] - found[:, :, -2]) / FRAME_S
  known = np.where(np.isfinite(known), known, 0.0)
  true = np.diff(truth.paths, axis=2, prepend=truth.paths[:, :, :1]) / FRAME_S
  return np.linalg.norm(known[:, :, None] - true, axis=-1).mean(1)


def _add_published(results: Results) -> None:
  headings = ("in distribution", "out of distribution", "out over in")
  table = Table(
    "Velocity error, as published",
    "Not of the same kind as those above: other clips of 256 px, larger "
    "networks of continuous latents, uniform motion. Kang et al., "
    "https://arxiv.org/abs/2411.02385.",
    None,
    None,
    tuple(Column(heading, "", "lower") for heading in headings),
    tuple(
      Row.of(
        name,
        role,
        [inside, outside, None if outside is None else outside / inside],
      )
      for name, role, inside, outside in _PUBLISHED
    ),
    unit=_UNIT,
  )
  results.tables.append(table)
