"""How runs are: `python -m magvit3d.status DIR [DIR ...]`.

DIR is the work folder of a run, or a folder of such. Exit status: 0 if all is
well, 1 if a run failed, stalled or was lost, 2 for a mistake in the call.

Reads status.json and stages.json, and never imports JAX.
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from data_gen import terminal
from data_gen.files import json_files, user_paths
from magvit3d.monitoring import progress, status_files
from magvit3d.monitoring.status_files import (
  DONE,
  FAILED,
  INTERRUPTED,
  RUNNING,
  STALLED,
)

LOST = "LOST"
UNREADABLE = "UNREADABLE"
NOT_BEGUN = "it has not begun"
_TROUBLES = (FAILED, STALLED, LOST, UNREADABLE)
# A live process writes every `REFRESH_S`; machines' clocks may differ a little.
_LOST_AFTER_S = 6 * status_files.REFRESH_S
_STAGES_NAME = "stages.json"
_HEADER = "run state stage step % loss steps/s ETA last-step".split()


class _Status(TypedDict, total=False):
  """What status.json holds; see `status_files`."""

  state: str
  reason: str
  stage: str
  activity: str | None
  step: int
  total_steps: int
  loss: float | None
  steps_per_second: float | None
  eta_seconds: float | None
  last_step: str
  updated: str


class _Stage(TypedDict):
  """What stages.json holds of a stage."""

  status: str
  reason: NotRequired[str]
  started: NotRequired[str]


@dataclasses.dataclass(frozen=True)
class RunSummary:
  """One run, as its files tell.

  Attributes:
    name: Folder, as the user named it.
    state: As in `status_files`, or LOST (its process no longer writes) or
      UNREADABLE.
    reason: Why, or "".
    stage: Stage that it is in, or was last.
    activity: What it does there, if known.
    step: Steps done of the stage; None for stages without steps.
    total_steps: Steps of the stage.
    percent: 0 to 100.
    loss: Last loss.
    steps_per_second: Rate.
    eta_seconds: Until the end of the stage.
    seconds_since_last_step: Now.
    seconds_since_update: Age of what the files say.
  """

  name: str
  state: str
  reason: str = ""
  stage: str | None = None
  activity: str | None = None
  step: int | None = None
  total_steps: int | None = None
  percent: float | None = None
  loss: float | None = None
  steps_per_second: float | None = None
  eta_seconds: float | None = None
  seconds_since_last_step: float | None = None
  seconds_since_update: float | None = None

  @property
  def is_in_trouble(self) -> bool:
    return self.state in _TROUBLES


def find_runs(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns `folder` if it is a run, else the runs in it, by name.

  Raises:
    ValueError: There is none.
  """
  if not folder.is_dir():
    raise ValueError(f"{folder} is no folder. Name the --workdir of a run.")
  if _is_run(folder):
    return [folder]
  runs = sorted(path for path in folder.iterdir() if _is_run(path))
  if not runs:
    raise ValueError(
      f"{folder} is no run and holds none: there is neither "
      f"{status_files.STATUS_NAME} nor {_STAGES_NAME}. Name the --workdir of a "
      "run, or a folder of such."
    )
  return runs


def _find_all(folders: Sequence[pathlib.Path]) -> list[pathlib.Path]:
  """The runs of several folders.

  What is there and no run is passed over where another one is: `runs/*` names
  pages and sweeps, too.
  """
  runs, problems = [], []
  for folder in folders:
    try:
      runs += find_runs(folder)
    except ValueError as error:
      if not folder.exists():
        raise
      problems.append(error)
  if not runs:
    raise problems[0]
  return runs


def read_run(folder: pathlib.Path, now_s: float) -> RunSummary:
  """Returns how a run is at `now_s`, seconds since 1970."""
  name = str(folder)
  try:
    status = _read(folder / status_files.STATUS_NAME, _Status)
    stages = _read(folder / _STAGES_NAME, dict[str, _Stage])
    later = _later_stage(name, status, stages)
    return later or _summary(name, status, stages, now_s)
  except (OSError, ValueError, KeyError, OverflowError) as error:
    reason = f"{type(error).__name__}: {error}"
    return RunSummary(name, UNREADABLE, f"its files cannot be read ({reason})")


def _summary(
  name: str, status: dict[str, Any], stages: dict[str, Any], now_s: float
) -> RunSummary:
  state, reason = status["state"], status["reason"]
  step, total_steps = status["step"], status["total_steps"]
  last_step_s, updated_s = (
    datetime.datetime.fromisoformat(status[key]).timestamp()
    for key in ("last_step", "updated")
  )
  age_s = now_s - updated_s
  if state in (RUNNING, STALLED) and age_s > _LOST_AFTER_S:
    ago = progress.format_duration(age_s)
    reason = f"its process no longer writes: it was {state} {ago} ago"
    state = LOST
  waits = [stage for stage in stages if stages[stage]["status"] != "done"]
  if state == DONE and waits:
    reason = f"not done yet: {', '.join(waits)}"
  is_running = state == RUNNING
  return RunSummary(
    name,
    state,
    reason,
    status["stage"],
    status.get("activity"),
    step,
    total_steps,
    progress.percent(step, total_steps),
    status["loss"],
    status["steps_per_second"],
    status["eta_seconds"] if is_running else None,
    max(0.0, now_s - last_step_s),
    max(0.0, age_s),
  )


def _later_stage(
  name: str, status: dict[str, Any], stages: dict[str, Any]
) -> RunSummary | None:
  """The stage that stages.json knows more of than status.json, if any.

  The data stage does not write status.json. Where it runs, failed or
  was interrupted, or one that did not come to its first step, it is there still
  as the training before left it.
  """
  reported = status.get("stage")
  if status and status["state"] != DONE and _is_open(stages, reported):
    return None
  for stage, entry in stages.items():
    reason = entry.get("reason", "")
    if entry["status"] == "failed":
      return RunSummary(name, FAILED, reason, stage)
    if entry["status"] == "running" and stage != reported:
      note = f"no steps yet; in {stage} since {entry['started']}"
      return RunSummary(name, RUNNING, note, stage)
    if entry["status"] == "pending" and reason:
      return RunSummary(name, INTERRUPTED, reason, stage)
  if status:
    return None
  waits = [stage for stage in stages if stages[stage]["status"] != "done"]
  if not waits:
    return RunSummary(name, DONE, stage=list(stages)[-1])
  return RunSummary(name, INTERRUPTED, NOT_BEGUN, waits[0])


def _is_open(stages: dict[str, Any], stage: str | None) -> bool:
  """Whether a stage is what the run is at."""
  return stage not in stages or stages[stage]["status"] != "done"


def _is_run(folder: pathlib.Path) -> bool:
  names = (status_files.STATUS_NAME, _STAGES_NAME)
  return any((folder / name).is_file() for name in names)


def _read(path: pathlib.Path, kind: Any) -> dict[str, Any]:
  """Returns a JSON object; that of a file that does not exist is empty."""
  try:
    return json_files.read(path, kind)
  except FileNotFoundError:
    return {}


def table(runs: Sequence[RunSummary]) -> str:
  """Returns the runs in columns, each reason below its run."""
  rows = [_HEADER, *(_row(run) for run in runs)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row, run in zip(rows, [None, *runs], strict=True):
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    lines.append("  ".join(cells).rstrip())
    if run and run.reason:
      lines.append(f"  {run.reason}")
  return "\n".join(lines)


def _row(run: RunSummary) -> list[str]:
  def show(value, form):
    return "-" if value is None else form(value)

  steps = show(run.step, lambda step: f"{step}/{run.total_steps}")
  stage = run.stage or "-"
  if run.activity not in (None, "training"):
    stage += f" ({run.activity})"
  return [
    run.name,
    run.state,
    stage,
    steps,
    show(run.percent, "{:.1f}".format),
    show(run.loss, "{:.4g}".format),
    show(run.steps_per_second, "{:.3g}".format),
    show(run.eta_seconds, progress.format_duration),
    show(run.seconds_since_last_step, _ago),
  ]


def _ago(seconds: float) -> str:
  return f"{progress.format_duration(seconds)} ago"


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints the runs; returns the exit status."""
  parser = argparse.ArgumentParser(
    prog="python -m magvit3d.status", description="Shows how runs are."
  )
  parser.add_argument(
    "folders",
    nargs="+",
    metavar="DIR",
    type=user_paths.argument,
    help="work folder of a run, or a folder of such",
  )
  parser.add_argument(
    "--json", action="store_true", help="print JSON, for programs"
  )
  options = parser.parse_args(arguments)
  terminal.set_up()
  try:
    folders = _find_all(options.folders)
  except (ValueError, OSError) as error:
    print(f"Error: {error}", file=sys.stderr)
    return 2
  now_s = time.time()
  runs = [read_run(folder, now_s) for folder in dict.fromkeys(folders)]
  if options.json:
    print(json.dumps([dataclasses.asdict(run) for run in runs], indent=2))
  else:
    print(table(runs))
  return int(any(run.is_in_trouble for run in runs))


if __name__ == "__main__":
  sys.exit(main())
