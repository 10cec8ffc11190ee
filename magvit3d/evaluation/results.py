"""What an evaluation finds: tables, checks, matrices, plots, arrays to show."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.evaluation import checks as run_checks
from magvit3d.files import atomic_file

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
    shown: Clips for the report, `evaluation/clips.npz`.
    paths: See `metres.tally`, `evaluation/paths.npz`.
    measured: Numbers that `checks` names; None or NaN where there is none.
  """

  def __init__(self, split: str, has_objects: bool):
    self.split = split
    self._has_objects = has_objects
    self._entries: dict[str, list[dict[str, Any]]] = {
      name: [] for name in ("tables", "checks", "confusions", "plots")
    }
    self.shown: dict[str, np.ndarray] = {}
    self.paths: dict[str, np.ndarray] = {}
    self.measured: dict[str, float | None] = {}

  @property
  def tables(self) -> list[dict[str, Any]]:
    """The tables so far, as `scores.json` has them."""
    return self._entries["tables"]

  @property
  def checks(self) -> list[dict[str, Any]]:
    """The checks, once `check` made them."""
    return self._entries["checks"]

  @property
  def confusions(self) -> list[dict[str, Any]]:
    """The confusion matrices so far, likewise."""
    return self._entries["confusions"]

  @property
  def plots(self) -> list[dict[str, Any]]:
    """The plots so far, likewise."""
    return self._entries["plots"]

  def add_table(
    self,
    title: str,
    note: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    n: int,
    baselines: Sequence[str] = (),
  ) -> None:
    """Adds a table.

    Args:
      title: Of the table.
      note: What one must know to read it.
      columns: Heads, that of the names included.
      rows: Each a name and its values.
      n: Samples.
      baselines: Names of the rows that need no network.
    """
    self._entries["tables"].append(
      {
        "title": title,
        "note": note if self._has_objects else f"{note} {NO_OBJECTS}",
        "split": self.split,
        "n": n,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "baselines": list(baselines),
      }
    )

  def check(self, settings: EvaluationConfig, motions: Sequence[str]) -> None:
    """Holds what was measured against the targets, and says so in the log.

    Args:
      settings: `config.evaluation`.
      motions: Names of all motions of the data.
    """
    self._entries["checks"] = run_checks.make(self.measured, settings, motions)
    for entry in self._entries["checks"]:
      logging.info("%s", run_checks.say(entry))

  def add_confusion(
    self, title: str, note: str, names: Sequence[str], counts: np.ndarray
  ) -> None:
    """Adds a confusion matrix: counts (true, answered)."""
    self._entries["confusions"].append(
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
    self._entries["plots"].append(
      {
        "title": title,
        "note": note,
        "x_label": labels[0],
        "y_label": labels[1],
        "series": [dict(line) for line in series],
      }
    )

  def write(self, folder: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes clips.npz, paths.npz, and last scores.json.

    Args:
      folder: `evaluation` of a run.
      facts: What scores.json says besides.
    """
    facts = dict(facts) | {
      "warning": run_checks.worse_than_copying(self.measured)
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "clips.npz", **self.shown)
    if self.paths:
      np.savez_compressed(folder / "paths.npz", **self.paths)
    else:
      (folder / "paths.npz").unlink(missing_ok=True)
    text = json.dumps(facts | self._entries, indent=2) + "\n"
    atomic_file.write_text(folder / "scores.json", text)
