"""Which stages each study has, beside data and report."""

from collections.abc import Callable, Mapping
from typing import Any

from magvit3d.run.stages import Run, Stage
from magvit3d.studies.extractors import extractor_stages
from magvit3d.studies.persistence import persistence_stages
from magvit3d.studies.prediction import prediction_stages
from magvit3d.studies.surprise import surprise_stages
from magvit3d.studies.world_model import world_model_stages

_STUDIES: Mapping[str, Any] = {
  "extractors": extractor_stages.makers,
  "persistence": persistence_stages.makers,
  "prediction": prediction_stages.makers,
  "surprise": surprise_stages.makers,
  "world_model": world_model_stages.makers,
}


def makers(run: Run) -> dict[str, Callable[[Run], Stage]]:
  """Returns what makes the stages of a study, by name."""
  return _STUDIES[run.config.study](run)
