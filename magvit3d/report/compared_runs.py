"""Runs to compare: what their work folders hold, and short names for them."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from data_gen.files import json_files
from magvit3d.errors import UserError
from magvit3d.evaluation.tables import Table
from magvit3d.monitoring import metrics_file
from magvit3d.report import check_section, file_reading, run_passport
from magvit3d.report.curves import Series, group_panels


@dataclasses.dataclass(frozen=True)
class Run:
  """What a run says of itself.

  Attributes:
    name: Short, and no other run's.
    folder: Its work folder.
    config: config.json.
    tables: Of the scores.
    checks: Of the scores, as `Results` has them.
    panels: Training curves by stage and panel.
    passport: Facts by group and name.
    data_sha256: Of its data's manifest; None if that is not known.
  """

  name: str
  folder: pathlib.Path
  config: dict[str, Any]
  tables: list[Table]
  checks: list[dict[str, Any]]
  panels: dict[str, dict[str, Series]]
  passport: run_passport.Facts
  data_sha256: str | None

  @property
  def report(self) -> pathlib.Path:
    """Where its own report is, or would be."""
    return self.folder / "report" / "index.html"


def load(folders: Sequence[pathlib.Path]) -> list[Run]:
  """Reads runs.

  Raises:
    UserError: There are less than two, one comes twice, is no work folder, has
      no scores, or has a damaged file.
  """
  if len(folders) < 2:
    raise UserError(
      "There is nothing to compare: name the work folders of two or more runs."
    )
  places = {}
  for folder in folders:
    other = places.setdefault(folder.resolve(), folder)
    if other is not folder:
      raise UserError(
        f"{other} and {folder} are the same folder. Name each run once."
      )
  names = short_names(list(places))
  return [
    _load(folder, name) for folder, name in zip(folders, names, strict=True)
  ]


def short_names(folders: Sequence[pathlib.Path]) -> list[str]:
  """Returns the folders' names, with as many parents as tell them apart.

  Args:
    folders: Absolute, all different.
  """
  depths = [1] * len(folders)
  while True:
    names = [
      str(pathlib.PurePath(*folder.parts[-depth:]))
      for folder, depth in zip(folders, depths, strict=True)
    ]
    is_shared = [names.count(name) > 1 for name in names]
    if not any(is_shared):
      return names
    depths = [d + more for d, more in zip(depths, is_shared, strict=True)]


def _load(folder: pathlib.Path, name: str) -> Run:
  config = _load_json(folder / "config.json")
  if config is None:
    raise UserError(
      f"{folder} is no work folder of a run: it has no config.json. Name what "
      "was given as --workdir."
    )
  scores = _load_json(folder / "evaluation" / "scores.json")
  if scores is None:
    raise UserError(
      f"{folder} has no scores yet: evaluation/scores.json is missing. Run its "
      f"stage evaluate: python -m magvit3d.main --config=... "
      f"--workdir={folder} --config.stages=evaluate (a config of one stage: "
      "its variant -eval)."
    )
  stages = _load_json(folder / "stages.json") or {}
  run = scores.get("run")
  data = run_passport.data_facts(
    folder, config, run if isinstance(run, dict) else {}
  )
  return Run(
    name,
    folder,
    config,
    file_reading.read_tables(scores),
    check_section.as_checks(scores.get("checks")),
    {
      path.parent.name: group_panels(metrics_file.read_metrics(path))
      for path in sorted(folder.glob("*/metrics.jsonl"))
    },
    run_passport.read(folder, config, stages, scores),
    data.get("sha256"),
  )


def _load_json(path: pathlib.Path) -> dict[str, Any] | None:
  try:
    return json_files.read(path)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}). Run the stage that writes it again."
    ) from error
