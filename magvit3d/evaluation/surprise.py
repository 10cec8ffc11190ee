"""Does a model notice the impossible? Pairs of clips, by its surprise in bits.

The protocol is that of IntPhys (https://arxiv.org/abs/1803.07616): of two clips
that are the same but for what happens in one, which is more surprising?
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import stats

from data_gen.scenes.violations import KINDS
from magvit3d.evaluation.tables import Cell, Column, Row, Table

# All views see them; the others, only several views together.
SINGLE_KINDS = tuple(kind for kind in KINDS if kind != "views")
FRAME_DIFFERENCE = "largest difference of frames"
CONSTANT_VELOCITY = "largest residual of constant velocity"
CHANCE = 0.5
_LEAST_CONTRAST = 20  # Levels, of an object's pixel.


@dataclasses.dataclass(frozen=True)
class PairScores:
  """What is measured of n pairs, possible clip first.

  Attributes:
    kinds: Of the violations, by `KINDS`.
    frames: The first frame that differs.
    bits: Of each latent frame.
    baselines: Scores of whole clips, by name.
  """

  kinds: Int[np.ndarray, " n"]
  frames: Int[np.ndarray, " n"]
  bits: Float[np.ndarray, "2 n t"]
  baselines: Mapping[str, Float[np.ndarray, "2 n"]]

  def joined(self, more: "PairScores") -> "PairScores":
    """Returns these, and those of other pairs after them."""
    return PairScores(
      np.concatenate([self.kinds, more.kinds]),
      np.concatenate([self.frames, more.frames]),
      np.concatenate([self.bits, more.bits], axis=1),
      {
        name: np.concatenate([scores, more.baselines[name]], axis=1)
        for name, scores in self.baselines.items()
      },
    )


def baseline_scores(clips: UInt8[np.ndarray, "v t h w 3"]) -> dict[str, float]:
  """Returns what needs no model to be large where something odd happens.

  Returns:
    Mean over views of the largest mean difference of two frames, levels; and of
    the largest distance of the object's centroid from where constant velocity
    leads, pixels. An object that is not there is as far away as the image is
    large.
  """
  steps = np.abs(np.diff(clips.astype(np.int16), axis=1)).mean((2, 3, 4))
  residuals = [_largest_residual(frames) for frames in clips]
  return {
    FRAME_DIFFERENCE: float(steps.max(1).mean()),
    CONSTANT_VELOCITY: float(np.mean(residuals)),
  }


def _largest_residual(frames: UInt8[np.ndarray, "t h w 3"]) -> float:
  colors, counts = np.unique(
    frames[0].reshape(-1, 3), axis=0, return_counts=True
  )
  contrast = np.abs(frames.astype(np.int16) - colors[counts.argmax()]).max(-1)
  is_object = contrast >= _LEAST_CONTRAST
  size = frames.shape[1]
  places = np.full((len(frames), 2), np.nan)
  for place, mask in zip(places, is_object, strict=True):
    if mask.any():
      place[:] = np.argwhere(mask).mean(0)
  ahead = 2 * places[1:-1] - places[:-2]
  residuals = np.linalg.norm(places[2:] - ahead, axis=1)
  return float(np.nan_to_num(residuals, nan=size).max())


def tables(
  validation: PairScores, test: PairScores, split: str, num_frames: int
) -> list[Table]:
  """Returns shares of pairs, and of peaks in the right place.

  Args:
    validation: Says of baselines, by kind, whether more of it or less counts as
      impossible, and what bits a frame of a possible clip takes.
    test: What is scored.
    split: Its name.
    num_frames: Of a clip.
  """
  methods = {"model's surprise": test.bits.sum(2)}
  for name, values in test.baselines.items():
    directions = _directions(validation.kinds, validation.baselines[name])
    methods[name] = values * directions[test.kinds]
  rows = [
    _row(name, "model" if number == 0 else "baseline", values, test.kinds)
    for number, (name, values) in enumerate(methods.items())
  ]
  rows.append(Row.of("chance", "baseline", [CHANCE] * (len(KINDS) + 1)))
  columns = [Column("mean of six", "", "higher")]
  columns += [Column(kind, "", "higher") for kind in KINDS]
  n = len(test.kinds)
  shares = Table(
    "Which half of a pair is impossible",
    "Share of pairs in which the impossible clip has more surprise, with 95% "
    "intervals (Wilson). Baselines may choose, for each kind and on other "
    "pairs, whether more or less of them counts. The mean is of the six kinds "
    "that a single camera can see.",
    split, n, tuple(columns), tuple(rows),
  )  # fmt: skip
  return [shares, _localisation(validation, test, split, num_frames)]


def _row(name, role, values, kinds) -> Row:
  is_right = (values[1] > values[0]) + 0.5 * (values[1] == values[0])
  by_kind = [is_right[kinds == number] for number in range(len(KINDS))]
  of_six = [
    found
    for kind, found in zip(KINDS, by_kind, strict=True)
    if kind in SINGLE_KINDS and len(found)
  ]
  mean = float(np.mean([found.mean() for found in of_six])) if of_six else None
  return Row(name, role, (Cell(mean), *map(_share, by_kind)))


def _share(is_right: Float[np.ndarray, " n"]) -> Cell:
  if not len(is_right):
    return Cell(None)
  count = round(float(is_right.sum()))
  interval = stats.binomtest(count, len(is_right)).proportion_ci(
    method="wilson"
  )
  return Cell(float(is_right.mean()), float(interval.low), float(interval.high))


def _directions(kinds, values) -> Float[np.ndarray, " k"]:
  """1 or -1 for each kind: what is right more often on these pairs."""
  gains = np.sign(values[1] - values[0])
  sums = np.bincount(kinds, weights=gains, minlength=len(KINDS))
  return np.where(sums < 0, -1.0, 1.0)


def _localisation(
  validation: PairScores, test: PairScores, split: str, num_frames: int
) -> Table:
  """Where the surprise of impossible clips is largest, beyond what is usual."""
  usual = validation.bits[0].mean(0)
  excess = test.bits[1] - usual
  t = excess.shape[1]
  is_right = excess.argmax(1) == test.frames * t // num_frames
  cells = [
    _share(is_right[test.kinds == KINDS.index(kind)].astype(float))
    for kind in SINGLE_KINDS
  ]
  shares = [cell.value for cell in cells if cell.value is not None]
  mean = Cell(float(np.mean(shares)) if shares else None)
  return Table(
    "When it happens",
    f"Share of impossible clips whose surprise, less the mean of possible "
    f"clips of other scenes, is largest in that of {t} latent frames in which "
    "they begin to differ. Tokens know frames before and after their own.",
    split,
    int(sum(test.kinds == KINDS.index(kind) for kind in SINGLE_KINDS).sum()),
    (
      Column("mean of six", "", "higher"),
      *(Column(kind, "", "higher") for kind in SINGLE_KINDS),
    ),
    (
      Row("model's surprise", "model", (mean, *cells)),
      Row.of("chance", "baseline", [1 / t] * (len(SINGLE_KINDS) + 1)),
    ),
  )


def headlines(found: Sequence[Table]) -> list[str]:
  """Returns the table of shares as lines of text."""
  shares = found[0]
  names = [column.name for column in shares.columns]
  return [
    f"{row.name}: "
    + ", ".join(
      f"{name} {cell.value:.2f}"
      for name, cell in zip(names, row.cells, strict=True)
      if cell.value is not None
    )
    for row in shares.rows
  ]
