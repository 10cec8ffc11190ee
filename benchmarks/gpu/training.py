"""Step `training`: a whole run by the clock, with scores in metres.

  python -m benchmarks.gpu.training --output=gpu_check --work=/tmp/run \
    --seconds=300 --variant=small

Renders the data; runs all stages with few steps, to learn how long what takes;
then trains with as many steps as the time allows, so that the learning rates
reach their end. What starts at a step, such as the discriminator, is moved in
proportion. If training is late all the same, it is stopped (it saves first),
and what there is is evaluated. Further arguments go to `magvit3d.main`.

Brings back, besides training.json, pieces of one tar: scores, curves and report
first, then the networks.
"""

import ast
import json
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from absl import app, flags

from benchmarks import programs
from benchmarks.gpu import packing, time_plan
from benchmarks.gpu.results import SMALL, WORK, Results, output_folder
from configs import traj3d
from data_gen import cores
from data_gen.files import user_paths
from magvit3d.monitoring.metrics_file import read_metrics

VARIANT = flags.DEFINE_string("variant", "small", "Of configs/traj3d.py.")
_SECONDS = flags.DEFINE_float("seconds", 300.0, "For everything.")
_PILOT_STEPS = flags.DEFINE_integer("pilot_steps", 40, "Of the first run.")
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PACKING_S = 5.0
_PILOT_SHARE = 0.4  # Of the time, at most.
_GRACE_S = 20.0  # To save after SIGTERM.
# With --small, of `:tiny`.
_SMALL_FIELDS = programs.SHRUNK | {
  "data.num_train": 8,
  "data.num_validation": 4,
  "data.num_test": 4,
  "data.scenes_per_shard": 4,
  "train_tokenizer.batch_size": 2,
  "train_transformer.batch_size": 2,
  "train_tokenizer.num_validation_clips": 2,
  "train_transformer.num_validation_clips": 2,
  "evaluation.batch_size": 4,
  "evaluation.num_clips": 4,
  "evaluation.num_shown_clips": 2,
  "evaluation.num_samples_per_class": 1,
  "evaluation.num_shown_samples_per_class": 1,
  "evaluation.num_probe_scenes": 0,
}


def main(argv: list[str]) -> int:
  """Runs; returns the exit status."""
  deadline = time.monotonic() + _SECONDS.value - _PACKING_S
  results = Results("training")
  work = user_paths.read(WORK.value).absolute()
  run = _Runs(work, argv[1:], deadline)
  is_rendered = results.attempt("data", "seconds", run.render)
  pilot = is_rendered and results.attempt("pilot", "result", run.pilot)
  plan = is_rendered and results.attempt(
    "plan", "steps", lambda: run.plan(pilot)._asdict()
  )
  if plan:
    results.attempt("run", "result", lambda: run.train(plan))
    results.attempt("run", "scores", lambda: packing.scores(run.folder))
    results.attempt("run", "curves", lambda: packing.curves(run.folder))
  folder = run.folder if plan else work / "pilot"
  results.attempt(
    "files", "packed", lambda: packing.pack(folder, output_folder())
  )
  return int(results.num_failed > 0)


class _Runs:
  """The runs of this step, which share their data.

  Args:
    work: Holds their folders.
    more: Arguments for all of them.
    deadline: Of `time.monotonic`.

  Attributes:
    folder: Of the long run.
  """

  def __init__(self, work: pathlib.Path, more: list[str], deadline: float):
    self.folder = work / "run"
    self._work, self._deadline = work, deadline
    self._more = [
      f"--config.num_reading_threads={min(16, cores.available())}",
      "--config.oracle_gate=False",
      "--config.data.preview=0",
      *(_arguments(_SMALL_FIELDS) if SMALL.value else ()),
      *more,
    ]
    self._variant = "tiny" if SMALL.value else VARIANT.value
    self._num_pilot_steps = 2 if SMALL.value else _PILOT_STEPS.value
    config = traj3d.get_config(self._variant)
    with config.unlocked(), config.ignore_type():
      for argument in self._more:  # The plan must know of them.
        path, _, value = argument.removeprefix("--config.").partition("=")
        config.update_from_flattened_dict({path: _parsed(value)})
    self._config = config.to_dict()

  def _left(self) -> float:
    return max(1.0, self._deadline - time.monotonic())

  def render(self) -> float:
    """Returns the seconds it took."""
    start = time.monotonic()
    self._main(self._work / "data_alone", ["--config.stages=data"], None)
    return time.monotonic() - start

  def pilot(self) -> dict[str, Any]:
    """Runs all stages in short; returns what they took."""
    folder = self._work / "pilot"
    fields = time_plan.scaled_fields(
      self._config, self._num_pilot_steps, self._num_pilot_steps
    )
    status = self._main(
      folder, self._with_data(fields), self._left() * _PILOT_SHARE
    )
    stages = json.loads((folder / "stages.json").read_text())
    seconds = {name: stage["seconds"] for name, stage in stages.items()}
    step_s = {
      name: read_metrics(folder / name / "metrics.jsonl")[-1][
        "train/step_time_s"
      ]
      for name in time_plan.TRAINED
    }
    return {
      "status": status,
      "seconds": seconds,
      "step_s": step_s,
      "is_evaluated": (folder / "evaluation" / "scores.json").exists(),
    }

  def plan(self, pilot: dict[str, Any] | None) -> time_plan.Plan:
    """Returns the steps that the time left allows, few if that is unknown."""
    if not pilot:
      return time_plan.without_pilot(self._num_pilot_steps, self._left())
    return time_plan.make(
      pilot["seconds"],
      pilot["step_s"],
      num_pilot_steps=self._num_pilot_steps,
      seconds_left=self._left(),
      is_evaluated=pilot["is_evaluated"],
    )

  def train(self, plan: dict[str, Any]) -> dict[str, Any]:
    """Trains and evaluates; the latter also of what the clock stopped."""
    fields = time_plan.scaled_fields(
      self._config, plan["tokenizer_steps"], plan["transformer_steps"]
    )
    if plan["has_short_evaluation"]:
      fields |= time_plan.SHORT_EVALUATION
    start = time.monotonic()
    arguments = self._with_data(fields)
    limit = self._left() - plan["evaluation_s"]
    training = [*arguments, "--config.stages=tokenizer,transformer"]
    status = self._main(self.folder, training, limit)
    trained_s = time.monotonic() - start
    evaluation = [*arguments, "--config.stages=evaluate,report"]
    evaluated = self._main(self.folder, evaluation, self._left())
    return {
      "status": status,
      "training_s": trained_s,
      "evaluation_status": evaluated,
      "evaluation_s": time.monotonic() - start - trained_s,
    }

  def _with_data(self, fields: dict[str, Any]) -> list[str]:
    folder = self._work / "data_alone" / "data"
    fields = {"data.data_dir": folder} | fields
    return _arguments(fields)

  def _main(
    self, folder: pathlib.Path, arguments: list[str], limit: float | None
  ) -> str | int:
    """Runs `magvit3d.main`; returns its exit status, or 'stopped'.

    Raises:
      RuntimeError: It failed.
    """
    process = subprocess.Popen(
      [
        *(sys.executable, "-m", "magvit3d.main"),
        f"--config=configs/traj3d.py:{self._variant}",
        f"--workdir={folder}",
        *self._more,
        *arguments,
      ],
      cwd=_ROOT,
    )
    try:
      status = process.wait(limit or self._left())
    except subprocess.TimeoutExpired:
      process.send_signal(signal.SIGTERM)
      try:
        process.wait(_GRACE_S)
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
      return "stopped"
    if status:
      raise RuntimeError(f"magvit3d.main ended with status {status}.")
    return status


def _arguments(fields: dict[str, Any]) -> list[str]:
  return [f"--config.{key}={value}" for key, value in fields.items()]


def _parsed(value: str) -> Any:
  try:
    return ast.literal_eval(value)
  except (SyntaxError, ValueError):
    return value


if __name__ == "__main__":
  app.run(main, flags_parser=lambda argv: flags.FLAGS(argv, known_only=True))
