"""Which objects stay: tables, a plot, and checks."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float

from magvit3d.config.studies import PersistenceConfig
from magvit3d.evaluation import checks
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Cell, Column, Row
from magvit3d.studies.persistence import decisions, lifetimes
from magvit3d.studies.persistence.decisions import Early
from magvit3d.studies.persistence.lifetimes import Lifetimes
from magvit3d.studies.persistence.watching_costs import WatchingCosts

OTHERS, ALL = "keys of other objects", "its own too"  # Of attention.
NETWORK, NEVER_MISSED, MAJORITY, BEST = (
  "network",
  "in sight in all frames so far",
  "all stay",
  "best by the law of lifetimes",
)
_SHOWN_FRAMES = (1, 2, 3, 4, 8, 16)  # The plot has all.


@dataclasses.dataclass(frozen=True)
class Attention:
  """Sums of `decisions.attention_sums` by `OTHERS` and `ALL`, (n, 2) each."""

  trained: Mapping[str, np.ndarray]
  untrained: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Measured:
  """What was measured on clips, n of o objects and t frames.

  Attributes:
    probabilities: That an object stays, after each frame, by the network.
    stays: The truth.
    is_seen: Whether pixels of it are in sight.
    num_views: Clips of a scene, which follow each other.
    attention: Of the network.
    costs: Of watching.
  """

  probabilities: Float[np.ndarray, "n o t"]
  stays: Bool[np.ndarray, "n o"]
  is_seen: Bool[np.ndarray, "n o t"]
  num_views: int
  attention: Attention
  costs: WatchingCosts

  @property
  def has_appeared(self) -> Bool[np.ndarray, "n o t"]:
    """Whether an object was in sight so far."""
    return decisions.appeared(self.is_seen)

  @property
  def law(self) -> Lifetimes:
    """Of scenes with so many objects that stay, and that pass."""
    num_objects, num_frames = self.is_seen.shape[1:]
    num_stays = int(self.stays[0].sum())
    return lifetimes.expected(num_stays, num_objects - num_stays, num_frames)


def tables(
  measured: Measured,
  config: PersistenceConfig,
  *,
  num_parameters: int,
  training_seconds: float | None,
) -> Results:
  """Returns all scores, and the checks of `config.persistence`.

  Args:
    measured: On the split.
    config: `config.persistence`.
    num_parameters: Of the network.
    training_seconds: Of its stage; None: not known.
  """
  results = Results(config.split, has_objects=True)
  f1 = _add_last(results, measured)
  _add_curve(results, measured)
  _add_early(results, measured, config)
  ratio = _add_attention(results, measured)
  _add_costs(results, measured, num_parameters, training_seconds)
  for name, value, target in (
    ("F1 of objects that stay, after the last frame", f1, config.min_f1),
    (
      f"Attention to what stays over what passes, {OTHERS}",
      ratio,
      config.min_attention_ratio,
    ),
  ):
    if target is not None:
      results.checks.append(checks.check(name, value, target, ">="))
  return results


def _answers(measured: Measured) -> dict[str, Bool[np.ndarray, "n o t"]]:
  return {
    NETWORK: measured.probabilities > 0.5,
    NEVER_MISSED: decisions.never_missed(measured.is_seen),
    MAJORITY: np.ones_like(measured.is_seen),
  }


def _rows(
  measured: Measured, cells: Callable[[np.ndarray], list]
) -> Iterator[Row]:
  for name, answers in _answers(measured).items():
    role = "model" if name == NETWORK else "baseline"
    yield Row.of(name, role, cells(answers))


def _add_last(results: Results, measured: Measured) -> float:
  asked, views = measured.has_appeared[..., -1], measured.num_views

  def cells(answers):
    last = answers[..., -1]
    found = [
      decisions.f1(last, measured.stays, asked, views),
      decisions.accuracy(last, measured.stays, asked, views),
      decisions.accuracy(last, measured.stays, asked & last, views),
      decisions.accuracy(last, measured.stays, asked & measured.stays, views),
    ]
    return [ratio.cell() for ratio in found]

  results.add_table(
    "Which objects stay, after the last frame",
    "Objects of a camera's clip that were ever in sight; n counts them. "
    "F1, precision and recall are those of 'it stays'. [95% interval, "
    "bootstrap over scenes]. The renderer's masks tell which pixels are whose, "
    "and which object is the same in another frame.",
    [
      Column(name, "", "higher")
      for name in ("F1", "accuracy", "precision", "recall")
    ],
    _rows(measured, cells),
    n=int(asked.sum()),
  )
  last = _answers(measured)[NETWORK][..., -1]
  return decisions.f1(last, measured.stays, asked).value


def _add_curve(results: Results, measured: Measured) -> None:
  num_frames = measured.is_seen.shape[-1]
  shown = [k for k in _SHOWN_FRAMES if k <= num_frames]

  def ratios(answers):
    return [
      decisions.accuracy(
        answers[..., i],
        measured.stays,
        measured.has_appeared[..., i],
        measured.num_views,
      )
      for i in range(num_frames)
    ]

  rows = list(
    _rows(
      measured, lambda answers: [ratios(answers)[k - 1].cell() for k in shown]
    )
  )
  best = measured.law.best
  rows.append(Row.of(BEST, "floor", [float(best[k - 1]) for k in shown]))
  results.add_table(
    "Right decisions after frame k",
    "Share of the objects that were in sight by then, [95% interval, bootstrap "
    "over scenes]. The best by the law of lifetimes is computed and not "
    "measured: it holds where nothing hides and nothing but presence is known.",
    [Column(str(k), "", "higher") for k in shown],
    rows,
    n=int(measured.has_appeared[..., -1].sum()),
    row_heading="after frame",
  )
  frames = list(range(1, num_frames + 1))
  lines = [
    {
      "name": name,
      "x": frames,
      "y": [ratio.value for ratio in ratios(answers)],
      "is_baseline": name != NETWORK,
    }
    for name, answers in _answers(measured).items()
  ]
  lines.append(
    {"name": BEST, "x": frames, "y": best.tolist(), "is_baseline": True}
  )
  results.add_plot(
    "Right decisions by frame",
    "Of the objects that were in sight by then.",
    ("frames seen", "share of right decisions"),
    lines,
  )


def law_probabilities(
  is_seen: Bool[np.ndarray, "n o t"], law: Lifetimes
) -> Float[np.ndarray, "n o t"]:
  """Returns those of one that knows the law, and sees presence alone."""
  return np.where(decisions.never_missed(is_seen), law.certainty, 0.0)


def _add_early(
  results: Results, measured: Measured, config: PersistenceConfig
) -> None:
  rows = []
  law = law_probabilities(measured.is_seen, measured.law)
  for confidence in config.confidences:
    for name, role, probabilities in (
      (NETWORK, "model", measured.probabilities),
      ("the law, of presence", "baseline", law),
    ):
      found = decisions.early(
        probabilities,
        measured.stays,
        measured.has_appeared,
        confidence,
        measured.num_views,
      )
      costs = [None, None]
      if role == "model":
        costs = [
          _cost_share(measured, found, field) for field in ("flops", "seconds")
        ]
      cells = [
        found.share.cell(), found.accuracy.cell(), found.saved.cell(), *costs,
      ]  # fmt: skip
      rows.append(Row.of(f"{name}, {confidence:g} sure", role, cells))
  results.add_table(
    "Decisions before the end",
    "An object's answer is taken after the first frame after which it is that "
    "sure; the accuracy is that of these answers, at these frames. Frames "
    "saved: those after the answer, of all frames of the clip. FLOPs and "
    "seconds: of watching until the answer, over those of one answer about the "
    "whole clip; the network answers anew after each frame, and each frame is "
    "tokenized once. [95% interval, bootstrap over scenes].",
    [
      Column("decided early", "", "higher"),
      Column("accuracy of these", "", "higher"),
      Column("frames saved", "", "higher"),
      Column("FLOPs", "", "lower"),
      Column("seconds", "", "lower"),
    ],
    rows,
    n=int(measured.has_appeared[..., -1].sum()),
  )


def _cost_share(measured: Measured, found: Early, field: str) -> float:
  asked = measured.has_appeared[..., -1]
  taken = measured.costs.until(found.frame[asked], field).mean()
  return float(taken / measured.costs.whole(field))


def _add_attention(results: Results, measured: Measured) -> float:
  rows, value = [], float("nan")
  for name, role, sums in (
    ("trained", "model", measured.attention.trained),
    ("untrained", "baseline", measured.attention.untrained),
  ):
    ratios = {
      keys: decisions.attention_ratio(sums[keys], measured.num_views)
      for keys in (OTHERS, ALL)
    }
    rows.append(Row.of(name, role, [r.cell() for r in ratios.values()]))
    value = ratios[OTHERS].value if role == "model" else value
  results.add_table(
    "Attention to what stays over what passes",
    "From the softmax of the network, all layers and heads. A key is an object "
    "in a frame: for each query, weights are averaged over the keys of a kind "
    "first, so that it does not count that those who stay have more frames. "
    "Queries: objects in sight that may attend to both kinds. 1: no "
    "difference. [95% interval, bootstrap over scenes].",
    [Column(OTHERS, "", None), Column(ALL, "", None)],
    rows,
    n=len(measured.stays),
  )
  return value


def _add_costs(
  results: Results,
  measured: Measured,
  num_parameters: int,
  training_seconds: float | None,
) -> None:
  costs = measured.costs
  answer = costs.answers[-1]
  rows = [
    Row.of(
      name,
      "model",
      [
        parameters,
        None if seconds is None else round(seconds),
        Cell(cost.flops / 1e6),
        Cell(1000 * cost.seconds),
      ],
    )
    for name, parameters, seconds, cost in (
      ("tokens of a frame", None, None, costs.frame),
      (
        "an answer about a whole clip",
        num_parameters,
        training_seconds,
        answer,
      ),
    )
  ]
  results.add_table(
    "What it takes",
    "FLOPs as XLA counts them, and the median time of a call with one clip, on "
    "the machine of the passport. Training: the stage's time, with tokens, "
    "compiling and validation.",
    [
      Column("parameters", "", "lower"),
      Column("training", "s", "lower"),
      Column("million FLOPs", "", "lower"),
      Column("time", "ms", "lower"),
    ],
    rows,
    n=1,
  )
