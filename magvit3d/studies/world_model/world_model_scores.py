"""What predicted clips are worth: error, similarity, actions, checks.

Clips are (n, t, h, w), in [0, 1]; scores are of the frames behind the given
ones, one value a clip or a frame.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from magvit3d.config.world_model import DIGIT, WorldModelConfig
from magvit3d.evaluation import checks, image_metrics
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.studies.ratios import Ratio

MODEL, CONVLSTM = "world model", "ConvLSTM"
OTHERS, UNTOLD = ", actions of other clips", ", actions not told"
COPY_LAST, BLACK = "copy of the last frame", "black"
_NETWORKS = (MODEL, CONVLSTM)
_BASELINES = (COPY_LAST, BLACK)
# The public benchmark adds up the squared errors of its 64 x 64 pixels.
_BENCHMARK_PIXELS = 64 * 64
_BENCHMARK_NOTE = (
  "MSE x 64 x 64 is what Moving MNIST's benchmark sums over its frames; on "
  "frames of another size, or other digits, it is no number of that benchmark. "
)
_CLIPS_AT_A_TIME = 64


def mean_name(count: int) -> str:
  """Returns the name of the mean of so many samples of the model."""
  return f"{MODEL}, mean of {count} samples"


@dataclasses.dataclass(frozen=True)
class Predicted:
  """The frames behind the given ones.

  Attributes:
    frames: (n, f, h, w) in [0, 1].
    truth: The same of the clips.
  """

  frames: Float[np.ndarray, "n f h w"]
  truth: Float[np.ndarray, "n f h w"]

  @functools.cached_property
  def errors(self) -> Float[np.ndarray, "n f"]:
    """Mean squared error a pixel, of each frame."""
    return np.square(self.frames - self.truth).mean((2, 3)).astype(float)

  @functools.cached_property
  def similarity(self) -> Float[np.ndarray, "n f"]:
    """SSIM of each frame, see `image_metrics.ssim`."""
    count, num_frames = self.frames.shape[:2]
    values = []
    for first in range(0, count, _CLIPS_AT_A_TIME):
      rows = slice(first, first + _CLIPS_AT_A_TIME)
      pair = [
        np.repeat(clips[rows].reshape(-1, 1, *clips.shape[2:], 1), 3, axis=-1)
        for clips in (self.frames, self.truth)
      ]
      values.append(image_metrics.ssim(*pair))
    return np.concatenate(values).reshape(count, num_frames)

  @functools.cached_property
  def decibels(self) -> Float[np.ndarray, "n f"]:
    """PSNR of each frame."""
    floor = 10 ** (-image_metrics.MAX_PSNR_DB / 10)
    return -10 * np.log10(np.maximum(self.errors, floor))


@dataclasses.dataclass(frozen=True)
class Cost:
  """What a network took.

  Attributes:
    parameters: Count.
    training_seconds: None: not known.
    seconds_per_clip: To predict one.
  """

  parameters: int
  training_seconds: float | None
  seconds_per_clip: float


def tables(
  made: Mapping[str, Float[np.ndarray, "n f h w"]],
  truth: Float[np.ndarray, "n t h w"],
  config: WorldModelConfig,
  split: str,
  costs: Mapping[str, Cost],
) -> Results:
  """Returns all scores, and the checks of `config.world_model`.

  Args:
    made: Frames behind the given ones, by what made them: `mean_name`, `MODEL`
      and `CONVLSTM`, alone or with `OTHERS` or `UNTOLD`.
    truth: Whole clips.
    config: Section of the config.
    split: That was read.
    costs: By network.
  """
  given = config.given_frames
  future = truth[:, given:]
  last = np.broadcast_to(truth[:, given - 1 : given], future.shape)
  all_made = dict(made) | {COPY_LAST: last, BLACK: np.zeros_like(future)}
  found = {name: Predicted(frames, future) for name, frames in all_made.items()}
  results = Results(split, has_objects=True)
  _add_scores(results, found, config)
  _add_actions(results, found)
  _add_costs(results, costs, len(truth))
  results.checks = _checks(found, config, costs)
  return results


def _role(name: str) -> str:
  return "baseline" if name in _BASELINES else "model"


def _add_scores(results, found, config) -> None:
  given, of_digits = config.given_frames, config.action == DIGIT
  rows = [
    Row.of(
      name,
      _role(name),
      [
        _cell(one.errors),
        *([_cell(one.errors * _BENCHMARK_PIXELS)] * of_digits),
        _cell(one.similarity),
        _cell(one.decibels),
      ],
    )
    for name, one in found.items()
  ]
  some = next(iter(found.values())).errors
  told = "Both networks are told the actions."
  if MODEL not in found:
    told = "Nobody knows the actions of these clips."
  results.add_table(
    f"Frames behind the first {given}",
    "Means over frames, [95% interval, bootstrap over clips], of pixels in "
    f"[0, 1]. {_BENCHMARK_NOTE * of_digits}SSIM has a Gaussian window of 11 "
    f"pixels. {told}",
    [
      Column("MSE", "", "lower"),
      *([Column("MSE x 64 x 64", "", "lower")] * of_digits),
      Column("SSIM", "", "higher"),
      Column("PSNR", "dB", "higher"),
    ],
    rows,
    n=len(some),
  )
  # More lines than colours say little: the others are in the tables.
  drawn = dict(found)
  for name in (CONVLSTM + OTHERS, *(f"{n}{UNTOLD}" for n in _NETWORKS)):
    if name.removesuffix(OTHERS).removesuffix(UNTOLD) in found:
      drawn.pop(name, None)
  for field, label in (
    ("errors", "mean squared error"),
    ("similarity", "SSIM"),
    ("decibels", "PSNR, dB"),
  ):
    results.add_plot(
      f"{label.split(',')[0].capitalize()} by frame"
      if field == "errors"
      else f"{label.split(',')[0]} by frame",
      f"Mean over {len(some)} clips. The first {given} frames are given.",
      ("frame", label),
      [
        {
          "name": name,
          "x": (given + 1 + np.arange(some.shape[1])).tolist(),
          "y": getattr(one, field).mean(0).tolist(),
          "is_baseline": _role(name) == "baseline",
        }
        for name, one in drawn.items()
      ],
    )


def _cell(values):
  return Ratio.mean(values.mean(1)).cell()


def difference(found: Mapping[str, Predicted], name: str, other: str) -> Ratio:
  """Returns by how much the error of `name` is above that of `other`."""
  return Ratio.mean(found[name].errors.mean(1) - found[other].errors.mean(1))


def _add_actions(results, found) -> None:
  rows = [
    Row.of(
      f"{name}{kind}",
      "model",
      [difference(found, name + kind, name).cell()],
    )
    for name in _NETWORKS
    for kind in (OTHERS, UNTOLD)
    if name in found and name + kind in found
  ]
  if rows:
    results.add_table(
      "What actions tell",
      "By how much the squared error a pixel grows, clip by clip, [95% "
      "interval, bootstrap over clips], when frames behind the given ones get "
      "the actions of another clip, or no actions are told at all.",
      [Column("added MSE", "", None)],
      rows,
      n=len(found[MODEL].errors),
    )


def _add_costs(results, costs, n) -> None:
  results.add_table(
    "What they take",
    "Training: the stage's time, with compiling and validation. Prediction: of "
    "one clip in a batch, once compiled, on the machine of the passport.",
    [
      Column("parameters", "", "lower"),
      Column("training", "s", "lower"),
      Column("prediction of a clip", "s", "lower"),
    ],
    [
      Row.of(
        name,
        "model",
        [
          cost.parameters,
          None
          if cost.training_seconds is None
          else round(cost.training_seconds),
          cost.seconds_per_clip,
        ],
      )
      for name, cost in costs.items()
    ],
    n=n,
  )


def _checks(found, config, costs) -> list[dict]:
  made = []
  model = next(n for n in found if n.startswith(mean_name(config.num_samples)))
  lstm = CONVLSTM if CONVLSTM in found else CONVLSTM + UNTOLD
  if config.below_baselines:
    made += [
      checks.check(
        f"Squared error of the {model}: below {name}",
        float(found[model].errors.mean()),
        float(found[name].errors.mean()),
        "<",
      )
      for name in (*_BASELINES, lstm)
    ]
    made.append(
      checks.check(
        f"Parameters of {CONVLSTM} and {MODEL} differ, share",
        abs(costs[CONVLSTM].parameters / costs[MODEL].parameters - 1),
        0.1,
        "<=",
      )
    )
  if config.actions_matter and MODEL + OTHERS in found:
    cell = difference(found, MODEL, MODEL + OTHERS).cell()
    made.append(
      checks.check(
        "Squared error with a clip's own actions minus with another's, upper "
        "end of the 95% interval",
        cell.high,
        0.0,
        "<",
      )
    )
  return made
