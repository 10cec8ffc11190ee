"""The evaluate stage of a study."""

import abc
import json
import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from jaxtyping import PyTree

from magvit3d.checkpoints import identity
from magvit3d.evaluation import checks
from magvit3d.evaluation.results import (
  SCORES_NAME,
  Results,
  exchanged,
  is_output,
)
from magvit3d.monitoring import stage_progress
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.parallel import processes
from magvit3d.run import passport, record
from magvit3d.run.stages import Run, Stage
from magvit3d.studies.study_training import StudyTraining


class StudyEvaluation(Stage[Run]):
  """Scores all networks of a study, once they are all trained.

  Attributes:
    parts: See `StageProgress`; 'networks' is the first, 'tables' the last.
    version: Of the scores: others are made anew.
    trainings: Stages that trained the networks.
  """

  name = "evaluate"
  parts: Mapping[str, float] = MappingProxyType(
    {"networks": 1.0, "scores": 5.0, "tables": 1.0}
  )
  version = 1

  def __init__(self, run: Run, trainings: Sequence[StudyTraining]):
    super().__init__(run)
    self.trainings = trainings

  @abc.abstractmethod
  def score(self, params: Mapping[str, PyTree]) -> Results:
    """Returns the scores of trained networks, by name, with their checks."""

  def is_complete(self) -> bool:
    """Returns whether there are scores of these networks on these data."""
    found = record.read_json(
      self._run.evaluation_folder / SCORES_NAME,
      lambda content: None if isinstance(content, dict) else "it is no object",
      sets_aside=processes.is_main(),
    )
    return bool(found) and found.get("key") == self._key(self.params())

  def outputs(self) -> list[pathlib.Path]:
    """Returns all files that it wrote."""
    folder = self._run.evaluation_folder
    return [path for path in folder.iterdir() if is_output(path.name)]

  def run(self) -> None:
    """Writes `evaluation/`."""
    folder = self._run.evaluation_folder
    with StageProgress(self._run.workdir, self.name, self.parts):
      params = self.params()
      results = self.score(params)
      for entry in results.checks:
        checks.log(entry)
      stage_progress.begin("tables")
      facts = {"key": self._key(params), "run": self._facts(params)}

      def write() -> None:
        with exchanged(folder) as new:
          results.write(new, facts)

      processes.by_main(write)

  def params(self) -> dict[str, PyTree]:
    """Returns the parameters of the networks that are scored, by name."""
    return {stage.name: stage.params() for stage in self.trainings}

  def training_seconds(self, name: str) -> float | None:
    """Returns how long the stage of a network took; None if nobody knows."""
    path = self._run.workdir / "stages.json"
    stages = json.loads(path.read_text()) if path.exists() else {}
    return stages.get(name, {}).get("seconds")

  def _key(self, params: Mapping[str, PyTree]) -> str:
    """Names all that the scores depend on."""
    config, data = self._run.config, self._run.data
    # Scores of earlier versions, which did not say it, are mostly of float32.
    number_type = {"dtype": config.dtype} if config.dtype != "float32" else {}
    return identity.key_of(
      {
        "version": self.version,
        "networks": {
          name: identity.fingerprint(tree) for name, tree in params.items()
        },
        "data": data.splits(),
        "study": config.given[config.study],
        "seed": config.seed,
      }
      | data.cut()
      | number_type
    )

  def _facts(self, params: Mapping[str, PyTree]) -> dict:
    return passport.describe(params, self._run.data.folder)
