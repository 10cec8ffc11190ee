"""How well the transformer goes on with clips, and fills in views."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from magvit3d.evaluation import (
  checks,
  motion_clips,
  prediction_scores,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.evaluation.metres import path_tables, run_paths
from magvit3d.evaluation.metres.baselines import COPY_LAST
from magvit3d.evaluation.metres.scene_scores import CONSTANT_VELOCITY
from magvit3d.evaluation.metres.summary import Line
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.evaluation.outputs import RunOutputs, side_by_side, to_uint8
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Role, Row

FRAME_PREDICTION = "frame_prediction"
_COPIES = {
  "copy_last": "copy of the last given frame",
  "nearest_view": "copy of the nearest given view",
}


def is_prediction(task) -> bool:
  """Returns whether `PredictedClips` can score a task."""
  return task.kind == FRAME_PREDICTION or task.num_given_views > 0


class PredictedClips:
  """The clips that the transformer makes for a task, one for each that is.

  Args:
    outputs: Of the run.
    task_index: Of a task that `is_prediction`.
  """

  def __init__(self, outputs: RunOutputs, task_index: int):
    self._outputs = outputs
    self._task = task = outputs.model.tasks[task_index]
    tokens = outputs.tokens
    self._is_given, poses = None, None
    if task.num_given_views:
      self._is_given = transformer_scores.draw_given_views(
        np.random.default_rng(outputs.seed),
        len(tokens.labels),
        outputs.model.num_views,
        task.num_given_views,
      )
      poses = tokens.cameras.camera_from_world
    grids = outputs.generate(task_index, tokens, self._is_given)
    self._predicted = outputs.decode(grids)
    self._simple = prediction_scores.baselines(
      task, outputs.clips, self._is_given, poses
    )
    self._first = task.condition.cond_frames if task.condition else 0

  @property
  def clips(self) -> UInt8[np.ndarray, "n t h w 3"]:
    """What the transformer made, and what it was given."""
    return to_uint8(self._predicted)

  def _describe(self) -> str:
    if self._is_given is None:
      return f"The first {self._first} frames are given"
    given = (
      f"{self._task.num_given_views} of {self._outputs.model.num_views} views "
      "are given"
    )
    if self._first:
      given += f", and the first {self._first} frames of the others"
    return given

  @property
  def _title(self) -> str:
    return "" if self._task.name == FRAME_PREDICTION else f": {self._task.name}"

  def score_pixels(self, results: Results) -> None:
    """Adds the scores of the clips that were asked, and clips to show."""
    outputs, first = self._outputs, self._first
    floor = "floor: true frames through the tokenizer"
    named = {
      "transformer": self._predicted,
      floor: outputs.reconstruction,
    } | self._simple
    roles: dict[str, Role] = {"transformer": "model", floor: "floor"}
    is_asked = np.ones(len(outputs.real), bool)
    if self._is_given is not None:
      is_asked = ~self._is_given.ravel()
    rows = prediction_scores.score_rows(named, outputs.clips, is_asked, first)
    psnr = {name: scores[-1] for name, *scores in rows}
    copied = psnr.get(_COPIES["copy_last"])
    if self._is_given is None and copied is not None:
      key = "foreground_psnr_over_copy_last_db"
      results.measured.setdefault(key, psnr["transformer"] - copied)
    results.add_table(
      f"Predicted{self._title}" if self._title else "Predicted clips",
      f"{self._describe()}; scores are of the rest. One sample a clip.",
      tokenizer_scores.IMAGE_COLUMNS,
      [
        Row.of(name, roles.get(name, "baseline"), scores)
        for name, *scores in rows
      ],
      n=int(is_asked.sum()),
    )
    prefix = self._task.name if self._title else "prediction"
    column = "copy_last" if self._is_given is None else "nearest_view"
    shown = np.flatnonzero(is_asked)[: outputs.settings.num_shown_clips]
    columns = {
      "reconstructed": outputs.reconstruction,
      "predicted": self._predicted,
      column: self._simple[_COPIES[column]],
    }
    if self._is_given is None and "motions/real" not in results.shown:
      self._keep_motions(results)
    results.shown |= {
      f"{prefix}/real": outputs.clips["frames"][shown],
      f"{prefix}/captions": outputs.captions[shown],
      f"{prefix}/given_frames": np.array(first),
    } | {
      f"{prefix}/{name}": to_uint8(clips[shown])
      for name, clips in columns.items()
    }

  def _keep_motions(self, results: Results, ade=None) -> None:
    motion_clips.keep(
      results,
      self._outputs.held_out,
      self._outputs.clips["frames"],
      self.clips,
      self._first,
      ade,
    )

  def score_paths(self, results: Results) -> SceneTally:
    """Adds the scores in metres, from the views that were asked; returns them.

    Of one view only what images tell. Of frame prediction also paths and clips
    to show.
    """
    outputs = self._outputs
    is_asked, baselines = None, {}
    if self._is_given is not None:
      is_asked = ~self._is_given
      nearest = self._simple[_COPIES["nearest_view"]]
      baselines["nearest_view"] = outputs.by_scene(nearest)
    tally = run_paths.score_paths(
      outputs.held_out,
      self._first,
      {"predicted": outputs.by_scene(self._predicted)},
      floors={RECONSTRUCTIONS: outputs.by_scene(outputs.reconstruction)},
      baselines=baselines,
      is_asked=is_asked,
    )
    seen = "all views" if is_asked is None else "the views that are not given"
    if is_asked is not None and is_asked.sum(axis=1).max() < 2:
      seen += "; one alone tells no position"
    lines = tally.lines(outputs.seed)
    path_tables.add_tables(
      results,
      f"Predicted paths{self._title}",
      f"{self._describe()}; scores are of the rest, from {seen}.",
      lines,
    )
    if self._is_given is None and not results.paths:
      self._keep_motions(results, tally.paths()["ade"][0])
      _measure_ade(results, lines, outputs.held_out.motion_names)
      num_views = len(outputs.held_out.views)
      run_paths.keep_paths(
        results,
        outputs.held_out,
        tally,
        side_by_side(outputs.clips["frames"], num_views),
        side_by_side(self.clips, num_views),
      )
    return tally


def _measure_ade(
  results: Results, lines: Sequence[Line], motions: Sequence[str]
) -> None:
  """Notes the ADE of all scenes and of each motion, beside the baselines'."""
  names = {
    checks.PREDICTED: "predicted",
    checks.COPY_LAST: COPY_LAST,
    checks.CONSTANT_VELOCITY: CONSTANT_VELOCITY,
  }
  ade = {key: path_tables.mean_ade(lines, name) for key, name in names.items()}
  for field, baseline in (
    ("ade_over_copy_last", checks.COPY_LAST),
    ("ade_over_constant_velocity", checks.CONSTANT_VELOCITY),
  ):
    if ade[baseline]:
      results.measured[field] = ade[checks.PREDICTED] / ade[baseline]
  for motion in motions:
    for key, name in names.items():
      results.measured[checks.ade_key(motion, key)] = path_tables.mean_ade(
        lines, name, motion
      )
