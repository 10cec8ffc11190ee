"""The stages that ask networks about pairs of clips."""

import functools
import pathlib
import shutil
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
from jaxtyping import PyTree

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.evaluation import checks, surprise
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Table
from magvit3d.monitoring import stage_progress
from magvit3d.run.stages import Run, Stage
from magvit3d.studies import pretrained_networks
from magvit3d.studies.study_evaluation import StudyEvaluation
from magvit3d.studies.surprise import pair_scores
from magvit3d.studies.surprise.asked_pairs import AskedPairs

_KEPT = "asked_pairs"  # A folder, until all are.


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages, by name."""
  stage = SurpriseEvaluation(run, [])
  return {"evaluate": lambda run: stage}


class SurpriseEvaluation(StudyEvaluation):
  """Asks which clip of a pair is the impossible one."""

  parts = MappingProxyType(
    {"networks": 1.0, "validation": 10.0, "test": 90.0, "tables": 1.0}
  )
  version = 2

  @functools.cached_property
  def _magvit(self) -> Magvit:
    config = self._run.config
    trained = pretrained_networks.load(config.pretrained, self._run.mesh)
    if trained.transformer_params is None:
      raise UserError(
        f"config.pretrained={config.pretrained!r} has no transformer, whose "
        "surprise is asked for."
      )
    return Magvit(trained, batch_size=config.surprise.eval_batch_size)

  def check_fits(self) -> None:
    """Raises UserError if the model does not read such clips."""
    found, wanted = self._run.data.clip_shape, self._magvit.clip_shape
    if found != wanted:
      raise UserError(
        f"The pairs have {found[0]} frames of {found[1]} px "
        "(config.data.num_frames, image_size), and "
        f"config.pretrained={self._run.config.pretrained!r} reads {wanted[0]} "
        f"of {wanted[1]} px. Use the same."
      )

  def params(self) -> dict[str, PyTree]:
    """Returns the parameters of what is asked, by network."""
    trained = self._magvit.trained
    return {
      "tokenizer": trained.tokenizer_params,
      "transformer": trained.transformer_params,
    }

  def score(self, params: Mapping[str, PyTree]) -> Results:
    """Returns shares of pairs, and of peaks in the right place."""
    config, key = self._run.config.surprise, self._key(params)
    measured = []
    for part, split in (("validation", "validation"), ("test", config.split)):
      source = pair_scores.open_pairs(self._run.data, split)
      stage_progress.begin(part)
      measured.append(
        pair_scores.measure(
          self._magvit,
          source,
          AskedPairs(self._kept(split), key),
          past_alone=config.past_alone,
          num_draws=config.num_draws,
        )
      )
    stage_progress.begin("tables")
    results = Results(config.split, has_objects=True)
    num_frames = self._magvit.clip_shape[0]
    results.tables = surprise.tables(*measured, config.split, num_frames)
    results.checks = self._checks(results.tables[0])
    results.shown = pair_scores.shown(source)
    return results

  def run(self) -> None:
    """Writes `evaluation/`."""
    super().run()
    if (folder := self._run.workdir / _KEPT).is_dir():
      shutil.rmtree(folder)

  def _kept(self, split: str) -> pathlib.Path | None:
    """Returns where answers are kept; processes that share the work: nowhere.

    One of them could find more of them there than another.
    """
    if jax.process_count() > 1:
      return None
    return self._run.workdir / _KEPT / f"{split}.npz"

  def _checks(self, shares: Table) -> list[dict]:
    config = self._run.config.surprise
    names = [column.name for column in shares.columns]
    found = dict(zip(names, shares.rows[0].cells, strict=True))
    of_kinds = [found[kind].value for kind in surprise.SINGLE_KINDS]
    targets = (
      ("the mean of the six kinds", found[names[0]].value, config.min_mean),
      ("the worst of the six kinds", min(of_kinds), config.min_kind),
      ("views that disagree", found["views"].value, config.min_views),
    )
    return [
      checks.check(
        f"Share of pairs whose impossible clip has more surprise: {name}",
        value,
        target,
        ">=",
      )
      for name, value, target in targets
      if target is not None
    ]
