"""What predictions are worth: one table for all predictors, curves, checks."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from magvit3d.config.prediction import PredictionConfig
from magvit3d.evaluation import checks, image_metrics
from magvit3d.evaluation.metres.baselines import BACKGROUND_ONLY, COPY_LAST
from magvit3d.evaluation.metres.scene_scores import CONSTANT_VELOCITY
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.evaluation.outputs import to_uint8
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Cell, Column, Role, Row
from magvit3d.studies.ratios import Ratio

TRIVIAL = (BACKGROUND_ONLY, COPY_LAST)
TITLES = {
  BACKGROUND_ONLY: "background only",
  COPY_LAST: "copy of the last given frame",
  CONSTANT_VELOCITY: "constant velocity",
  RECONSTRUCTIONS: "floor: true frames through the tokenizer",
}
ROLES: Mapping[str, Role] = {
  BACKGROUND_ONLY: "baseline",
  COPY_LAST: "baseline",
  CONSTANT_VELOCITY: "baseline",
  RECONSTRUCTIONS: "floor",
}
_OF_PATHS = {
  "mask_iou": Column("mask IoU", "", "higher"),
  "centroid_px": Column("centroid", "px", "lower"),
  "ade": Column("ADE", "m", "lower"),
  "fde": Column("FDE", "m", "lower"),
  "failure_rate": Column("failures", "", "lower"),
}
_OF_COSTS = (
  Column("parameters", "", "lower"),
  Column("training", "s", "lower"),
  Column("clips a second", "", "higher"),
)


@dataclasses.dataclass(frozen=True)
class Predicted:
  """What a predictor made of the held-out clips.

  Attributes:
    clips: In [0, 1]; of given frames the truth.
    parameters: Count; what is frozen is left out.
    training_seconds: None: not known.
    clips_per_second: Predicted and decoded, once all is compiled.
    latent_losses: Of latents, by name; None of predictors of tokens.
  """

  clips: Float[np.ndarray, "n t h w 3"]
  parameters: int
  training_seconds: float | None
  clips_per_second: float
  latent_losses: Mapping[str, float] | None


class PredictionScores:
  """Adds the scores of all predictors to results.

  Args:
    results: Where they go.
    predicted: By predictor.
    others: Clips of baselines and floors by name, likewise.
    real: The truth.
    is_object: Where its masks show an object.
    num_views: Clips of a scene, which stand in a row.
    config: `config.prediction`.
  """

  def __init__(
    self,
    results: Results,
    predicted: Mapping[str, Predicted],
    others: Mapping[str, Float[np.ndarray, "n t h w 3"]],
    real: Float[np.ndarray, "n t h w 3"],
    is_object: Bool[np.ndarray, "n t h w"],
    num_views: int,
    config: PredictionConfig,
  ):
    self._results, self._predicted, self._config = results, predicted, config
    given = config.given_frames
    self._real, self._is_object = real[:, given:], is_object[:, given:]
    named = {name: made.clips for name, made in predicted.items()} | dict(
      others
    )
    self._clips = {name: clips[:, given:] for name, clips in named.items()}
    # By name: a value a scene; NaN where no frame of it shows an object.
    self.foreground = {
      name: foreground_by_scene(clips, self._real, self._is_object, num_views)
      for name, clips in self._clips.items()
    }

  def gain(self, name: str) -> float:
    """Returns the foreground PSNR above the best trivial clips', dB."""
    best = max(_mean(self.foreground[other]) for other in TRIVIAL)
    return _mean(self.foreground[name]) - best

  def add(self, tally: SceneTally | None) -> None:
    """Adds tables, curves and checks.

    Args:
      tally: Scores of the same clips against the scenes' records; None where
        they have none.
    """
    paths = () if tally is None else self._known_columns(tally)
    columns = [
      Column("foreground PSNR", "dB", "higher"),
      Column("above trivial", "dB", "higher"),
      Column("PSNR", "dB", "higher"),
      *(_OF_PATHS[key] for key in paths),
      *_OF_COSTS,
    ]
    names = list(self._clips)
    if tally is not None:
      names.insert(len(names) - 1, CONSTANT_VELOCITY)
    rows = [
      Row.of(
        TITLES.get(name, name),
        ROLES.get(name, "model"),
        [
          *self._of_pixels(name, tally),
          *self._of_paths(name, tally, paths),
          *self._of_costs(name),
        ],
      )
      for name in names
    ]
    self._results.add_table(
      "Ways of predicting",
      f"The first {self._config.given_frames} frames are given; scores are of "
      "the rest, [95% interval, bootstrap over scenes]. Foreground: pixels "
      "within 2 of the true object mask. Above trivial: above the better of "
      "the background alone and the copy. Constant velocity is told the true "
      "path so far, and shape and colour, and is exact where the motion is "
      "linear without noise. Training: the stage's time, with "
      "reading, compiling and validation. Clips a second: predicted and "
      "decoded, on the machine of the passport.",
      columns,
      rows,
      n=len(self._real),
    )
    self._add_latent_losses()
    self._add_curves()
    self._add_checks(tally)

  def _known_columns(self, tally) -> tuple[str, ...]:
    """Those that some predictor has a number of."""
    return tuple(
      key
      for key in _OF_PATHS
      if not all(
        np.isnan(tally.values(name, key)).all() for name in self._predicted
      )
    )

  def _of_pixels(self, name, tally) -> list[Cell | float | None]:
    if name == CONSTANT_VELOCITY:
      values = tally.values(name, "foreground_psnr")
      return [cell_of(values), None, _mean(tally.values(name, "psnr"))]
    gain = self.gain(name) if name in self._predicted else None
    psnr = image_metrics.psnr(self._clips[name], self._real)
    return [cell_of(self.foreground[name]), gain, float(psnr.mean())]

  def _of_paths(self, name, tally, keys) -> list[Cell | None]:
    return [cell_of(tally.values(name, key)) for key in keys]

  def _of_costs(self, name) -> list[int | float | None]:
    made = self._predicted.get(name)
    if made is None:
      return [None] * len(_OF_COSTS)
    seconds = made.training_seconds
    return [
      made.parameters,
      None if seconds is None else round(seconds),
      round(made.clips_per_second, 1),
    ]

  def _add_latent_losses(self) -> None:
    rows = []
    for name, made in self._predicted.items():
      losses = made.latent_losses
      if losses:
        loss = losses["network"]
        ratios = [loss / losses["zero"], loss / losses["last"]]
        rows.append(Row.of(name, "model", [loss, *ratios]))
    if not rows:
      return
    self._results.add_table(
      "Latents that are regressed",
      "Mean squared error of the future's codes, in units of the codebook's "
      "mean square, and relative to that of latents of zero and of the last "
      "given ones.",
      [
        Column("loss", "", "lower"),
        Column("over zero", "", "lower"),
        Column("over last", "", "lower"),
      ],
      rows,
      n=len(self._real),
    )

  def _add_curves(self) -> None:
    given, num_frames = self._config.given_frames, self._real.shape[1]
    series = [
      {
        "name": TITLES.get(name, name),
        "x": list(range(given + 1, given + num_frames + 1)),
        "y": [
          _mean(
            image_metrics.foreground_psnr(
              clips[:, i : i + 1],
              self._real[:, i : i + 1],
              self._is_object[:, i : i + 1],
            )
          )
          for i in range(num_frames)
        ],
        "is_baseline": name not in self._predicted,
      }
      for name, clips in self._clips.items()
    ]
    self._results.add_plot(
      "Foreground PSNR by frame",
      f"The first {given} frames are given.",
      ("frame", "foreground PSNR, dB"),
      series,
    )

  def _add_checks(self, tally) -> None:
    config = self._config
    for name in self._predicted:
      if config.min_foreground_gain_db is not None:
        self._results.checks.append(
          checks.check(
            f"{name}: foreground PSNR above background and copy",
            self.gain(name),
            config.min_foreground_gain_db,
            ">=",
            "dB",
          )
        )
      if config.max_centroid_px is not None and tally is not None:
        self._results.checks.append(
          checks.check(
            f"{name}: distance of the centroid",
            _mean(tally.values(name, "centroid_px")),
            config.max_centroid_px,
            "<=",
            "px",
          )
        )

  def show(self, captions: Sequence[str], frames: np.ndarray) -> None:
    """Adds clips to show: each predictor's beside the truth and the copy.

    Args:
      captions: Of the clips.
      frames: The true clips, uint8.
    """
    total = len(frames)
    count = min(self._config.num_shown_clips, total)
    rows = np.arange(count) * total // max(count, 1)
    given = self._config.given_frames
    for name in self._predicted:
      columns = {
        "reconstructed": RECONSTRUCTIONS, "predicted": name,
        "copy_last": COPY_LAST,
      }  # fmt: skip
      self._results.shown |= {
        f"{name}/real": frames[rows],
        f"{name}/captions": np.asarray(captions)[rows],
        f"{name}/given_frames": np.array(given),
      }
      for column, other in columns.items():
        later = to_uint8(self._clips[other][rows])
        whole = np.concatenate([frames[rows, :given], later], axis=1)
        self._results.shown[f"{name}/{column}"] = whole


def foreground_by_scene(
  clips: Float[np.ndarray, "n t h w 3"],
  real: Float[np.ndarray, "n t h w 3"],
  is_object: Bool[np.ndarray, "n t h w"],
  num_views: int,
) -> Float[np.ndarray, " m"]:
  """Returns the foreground PSNR of each scene, the mean of its cameras', dB.

  Cameras that see no object do not count; NaN where none does.
  """
  values = image_metrics.foreground_psnr(clips, real, is_object)
  rows = values.reshape(-1, num_views)
  known = ~np.isnan(rows)
  total = np.where(known, rows, 0).sum(1)
  return np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan)


def _mean(values: np.ndarray) -> float:
  known = values[~np.isnan(values)]
  return float(known.mean()) if known.size else float("nan")


def cell_of(values: Float[np.ndarray, " m"]) -> Cell | None:
  """Returns the mean over scenes with its interval; None if all are NaN."""
  known = values[~np.isnan(values)].astype(float)
  return Ratio.mean(known).cell() if known.size else None
