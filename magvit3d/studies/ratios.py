"""Ratios of sums over scenes, with intervals."""

import dataclasses

import numpy as np
from jaxtyping import Float

from magvit3d.evaluation.tables import Cell

_NUM_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Ratio:
  """A ratio of two sums over scenes, such as right answers over all.

  Attributes:
    above: What is summed above the line, a scene each.
    below: Below it.
  """

  above: Float[np.ndarray, " s"]
  below: Float[np.ndarray, " s"]

  @classmethod
  def mean(cls, values: Float[np.ndarray, " s"]) -> "Ratio":
    """Returns the mean of a value a scene."""
    return cls(values, np.ones_like(values))

  @property
  def value(self) -> float:
    """The ratio; NaN where there is nothing below."""
    below = self.below.sum()
    return float(self.above.sum() / below) if below else float("nan")

  def cell(self, seed: int = 0) -> Cell:
    """Returns it with a 95% percentile bootstrap over scenes.

    What is of one scene is not independent: scenes are drawn anew. One scene
    says nothing of the spread.
    """
    if len(self.above) < 2:
      return Cell(self.value)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(self.above), size=(_NUM_RESAMPLES, len(self.above)))
    below = self.below[rows].sum(1)
    if not below.all():
      return Cell(self.value)
    ratios = self.above[rows].sum(1) / below
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Cell(self.value, float(low), float(high))
