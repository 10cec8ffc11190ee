"""Predictions in and out of distribution, beside each other."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from magvit3d.evaluation.metres.scene_scores import CONSTANT_VELOCITY
from magvit3d.evaluation.metres.tally import SceneTally
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.studies.prediction.prediction_scores import (
  ROLES,
  TITLES,
  cell_of,
)


@dataclasses.dataclass(frozen=True)
class SplitScores:
  """Scores of a split, by what made the clips.

  Attributes:
    split: Of the data.
    foreground: Foreground PSNR of each scene, dB.
    ade: Of each scene, metres; empty where none is known.
  """

  split: str
  foreground: Mapping[str, Float[np.ndarray, " m"]]
  ade: Mapping[str, Float[np.ndarray, " m"]]

  @classmethod
  def of(
    cls,
    split: str,
    foreground: Mapping[str, Float[np.ndarray, " m"]],
    tally: SceneTally | None,
  ) -> "SplitScores":
    """Returns them, with what a tally says of the same clips."""
    ade = {}
    for name in (*foreground, CONSTANT_VELOCITY):
      if tally is not None and name in tally.names:
        ade[name] = tally.values(name, "ade")
    return cls(split, foreground, ade)


def add_table(results: Results, splits: list[SplitScores]) -> None:
  """Adds a table with columns of each split, the first in distribution."""
  first = splits[0]
  # One camera tells no path, though constant velocity is told the true one.
  has_paths = not all(
    np.isnan(ade).all()
    for name, ade in first.ade.items()
    if name != CONSTANT_VELOCITY
  )
  names = list(first.foreground)
  if has_paths:
    names += [name for name in first.ade if name not in names]
  columns, cells = [], {name: [] for name in names}
  for scores in splits:
    columns.append(Column(f"{scores.split}: foreground", "dB", "higher"))
    for name in names:
      values = scores.foreground.get(name)
      cells[name].append(None if values is None else cell_of(values))
    if has_paths:
      columns.append(Column(f"{scores.split}: ADE", "m", "lower"))
      for name in names:
        values = scores.ade.get(name)
        cells[name].append(None if values is None else cell_of(values))
  counts = ", ".join(
    f"{len(next(iter(s.foreground.values())))} of {s.split}" for s in splits
  )
  results.add_table(
    "In and out of distribution",
    "Foreground PSNR and ADE as above, [95% interval, bootstrap over scenes]. "
    f"Scenes: {counts}.",
    columns,
    [
      Row.of(TITLES.get(name, name), ROLES.get(name, "model"), cells[name])
      for name in names
    ],
    n=len(next(iter(first.foreground.values()))),
  )
