"""What an evaluation finds: tables, checks, matrices, plots, arrays to show."""

import contextlib
import io
import json
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.evaluation import checks as run_checks
from magvit3d.evaluation.tables import SCHEMA_VERSION, Column, Row, Table
from magvit3d.files import atomic_file, output_set

SCORES_NAME = "scores.json"
CLIPS_NAME, PATHS_NAME = "clips.npz", "paths.npz"
SAMPLES_NAME = "samples.webp"
_OUTPUTS = re.compile(
  rf"{re.escape(SCORES_NAME)}|{re.escape(SAMPLES_NAME)}|"
  r"(clips|paths)\.npz|paths_.+\.(json|csv)"
)
NO_OBJECTS = (
  "No clip has a mask, so there are no scores of the foreground (n = 0)."
)


class Results:
  """Collects results, and writes them for the report.

  Args:
    split: On which they were measured.
    has_objects: Whether any clip has a mask.

  Attributes:
    split: The same.
    tables: The tables so far.
    checks: As `scores.json` has them, once `check` made them.
    confusions: The confusion matrices so far, likewise.
    plots: The plots so far, likewise.
    shown: Clips for the report, `evaluation/clips.npz`.
    paths: See `metres.tally`, `evaluation/paths.npz`.
    measured: Numbers that `checks` names; None or NaN where there is none.
  """

  def __init__(self, split: str, has_objects: bool):
    self.split = split
    self._has_objects = has_objects
    self.tables: list[Table] = []
    self.checks: list[dict[str, Any]] = []
    self.confusions: list[dict[str, Any]] = []
    self.plots: list[dict[str, Any]] = []
    self.shown: dict[str, np.ndarray] = {}
    self.paths: dict[str, np.ndarray] = {}
    self.measured: dict[str, float | None] = {}

  def add_table(
    self,
    title: str,
    note: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    n: int,
    row_heading: str = "",
    unit: str = "",
  ) -> None:
    """Adds a table, see `Table`."""
    note = note if self._has_objects else f"{note} {NO_OBJECTS}"
    self.tables.append(
      Table(
        title,
        note,
        self.split,
        n,
        tuple(columns),
        tuple(rows),
        row_heading,
        unit,
      )
    )

  def check(self, settings: EvaluationConfig, motions: Sequence[str]) -> None:
    """Holds what was measured against the targets, and says so in the log.

    Args:
      settings: `config.evaluation`.
      motions: Names of all motions of the data.
    """
    self.checks = run_checks.make(self.measured, settings, motions)
    for entry in self.checks:
      run_checks.log(entry)

  def add_confusion(
    self, title: str, note: str, names: Sequence[str], counts: np.ndarray
  ) -> None:
    """Adds a confusion matrix: counts (true, answered)."""
    self.confusions.append(
      {
        "title": title,
        "note": note,
        "split": self.split,
        "n": int(counts.sum()),
        "names": list(names),
        "counts": counts.tolist(),
      }
    )

  def add_plot(
    self,
    title: str,
    note: str,
    labels: tuple[str, str],
    series: Sequence[Mapping[str, Any]],
  ) -> None:
    """Adds lines to draw.

    Args:
      title: Of the plot.
      note: What one must know to read it.
      labels: Of the axes x and y.
      series: Each with `name`, `x`, `y` and `is_baseline`.
    """
    self.plots.append(
      {
        "title": title,
        "note": note,
        "x_label": labels[0],
        "y_label": labels[1],
        "series": [dict(line) for line in series],
      }
    )

  def write(self, folder: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes clips.npz, paths.npz and scores.json.

    Args:
      folder: Of new files, see `exchanged`.
      facts: What scores.json says besides.
    """
    facts = dict(facts) | {
      "warning": run_checks.worse_than_copying(self.measured)
    }
    _write_arrays(folder / CLIPS_NAME, self.shown)
    if self.paths:
      _write_arrays(folder / PATHS_NAME, self.paths)
    write_scores(
      folder, facts, self.tables, self.checks, self.confusions, self.plots
    )


def exchanged(
  folder: pathlib.Path,
) -> contextlib.AbstractContextManager[pathlib.Path]:
  """Yields a folder for all files of an evaluation; see `output_set`."""
  return output_set.exchanged(folder, SCORES_NAME, is_output)


def is_output(name: str) -> bool:
  """Whether a file of this name in `evaluation` is the evaluation's."""
  return bool(_OUTPUTS.fullmatch(name))


def _write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  file = io.BytesIO()
  np.savez_compressed(file, **arrays)
  atomic_file.write_bytes(path, file.getvalue())


def write_scores(
  folder: pathlib.Path,
  facts: Mapping[str, Any],
  tables: Iterable[Table],
  checks: Sequence[Mapping[str, Any]] = (),
  confusions: Sequence[Mapping[str, Any]] = (),
  plots: Sequence[Mapping[str, Any]] = (),
) -> None:
  """Writes scores.json.

  Args:
    folder: It is there.
    facts: What the file says besides.
    tables: Of scores.
    checks: See `Results`.
    confusions: The same.
    plots: The same.
  """
  content = {
    "schema_version": SCHEMA_VERSION,
    **facts,
    "tables": [table.to_json() for table in tables],
    "checks": checks,
    "confusions": confusions,
    "plots": plots,
  }
  text = json.dumps(_as_json(content), indent=2, allow_nan=False) + "\n"
  atomic_file.write_text(folder / SCORES_NAME, text)


def _as_json(content: Any) -> Any:
  """What JSON can hold: null stands for numbers that are not finite."""
  if isinstance(content, float):
    return content if math.isfinite(content) else None
  if isinstance(content, Mapping):
    return {key: _as_json(value) for key, value in content.items()}
  if isinstance(content, list | tuple):
    return [_as_json(value) for value in content]
  return content
