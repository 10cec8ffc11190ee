"""A run in a work folder: the list of its stages, one after the other.

A run on rendered scenes makes data, trains tokenizer and transformer, scores
them and writes the report; one of MAGVIT's own configs trains one network, and
does the rest likewise.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from absl import logging

from data_gen.files import user_paths
from magvit3d.checkpoints.orbax import check_folder
from magvit3d.cli import interruption
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.evaluation import checks
from magvit3d.files import work_folder
from magvit3d.monitoring.metric_writers import check_wandb
from magvit3d.monitoring.profiling import StepSpan
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.parallel import processes, sharding
from magvit3d.parallel.number_types import in_own_types
from magvit3d.report import run_report
from magvit3d.run import network_checks, overfit, overfit_run, record
from magvit3d.run.data import RunData
from magvit3d.run.digit_data import DigitData
from magvit3d.run.evaluation_stages import Evaluation, SceneEvaluation
from magvit3d.run.networks import RunNetworks
from magvit3d.run.stages import DataStage, Run, Stage, TokenRun
from magvit3d.run.training_stages import TokenizerTraining, TransformerTraining
from magvit3d.run.video_data import VideoData
from magvit3d.studies import study_stages


class ReportStage(Stage):
  """Writes the report of what the others left."""

  name = "report"

  def __init__(self, run: Run, record_: record.StageRecord):
    super().__init__(run)
    self._record = record_
    self._sections: dict[str, str] = {}

  @property
  def path(self) -> pathlib.Path:
    """Where it is, or would be."""
    return self._run.workdir / "report" / "index.html"

  def is_complete(self) -> bool:
    """Returns whether it is there, and of what there is now."""
    if not self._record.is_done(self.name) or not run_report.is_whole(
      self.path
    ):
      return False
    return self._record.key(self.name) in (None, self.key())

  def outputs(self) -> list[pathlib.Path]:
    """Returns the page."""
    return [self.path]

  def key(self) -> str:
    """Returns a hash of the config and of what the other stages made."""
    return self._record.key_of_others(self.name, self._run.config.document)

  def run(self) -> None:
    """Writes it."""
    self._sections = {}
    workdir = self._run.workdir
    with StageProgress(workdir, self.name, run_report.PARTS) as progress:
      self.write()
      progress.result = checks.warning_of(self._run.evaluation_folder)

  def write(self) -> None:
    """Writes it, again with what just came but for how long stages took."""
    processes.by_main(
      lambda: run_report.write_report(self._run.workdir, self._sections)
    )


def _token_run(config, workdir, shared) -> tuple[Run, dict]:
  """Returns a run of tokenizer and transformer, and what makes its stages."""
  data = VideoData(config) if config.videos else RunData(config, workdir)
  networks = RunNetworks(config, data, workdir, shared["mesh"])
  network_checks.check_batches(config, networks, data)
  # Takes seconds; what a start with this config found is not asked again.
  if not record.was_started_with(workdir, config.document):
    network_checks.trace_steps(config, networks, data)
  return TokenRun(**shared, data=data, networks=networks), {
    "data": DataStage,
    "tokenizer": TokenizerTraining,
    "transformer": TransformerTraining,
    "evaluate": Evaluation if config.videos else SceneEvaluation,
  }


def _check_batches(config, mesh) -> None:
  """Raises UserError if a study's batches do not divide over the devices."""
  for name in ("tokenizer", config.study):
    training = config.training(name)
    if training:
      sharding.check_batch_size(
        f"train_{name}.batch_size",
        training.batch_size,
        mesh,
        training.gradient_accumulation_steps,
      )
  if config.study_config.known_networks:  # Others' are made to fit.
    sharding.check_batch_size(
      f"{config.study}.eval_batch_size",
      config.study_config.eval_batch_size,
      mesh,
    )


def _study(config, workdir, shared) -> tuple[Run, dict]:
  """The same of a study."""
  _check_batches(config, shared["mesh"])
  make_data = DigitData if config.digits else RunData
  run = Run(**shared, data=make_data(config, workdir))
  return run, {"data": DataStage} | study_stages.makers(run)


class Experiment:
  """One run in one work folder.

  Args:
    config: See `configs/traj3d.py`, or one of MAGVIT's.
    workdir: Holds everything the run makes; what is there is continued.
    profile: Steps to trace.
    stop_after: (stage, step) where training stops as if it were interrupted.

  Raises:
    UserError: A field is wrong, or the work folder cannot be written.
  """

  @in_own_types
  def __init__(
    self,
    config: RunConfig | Mapping[str, Any],
    workdir: pathlib.Path,
    profile: StepSpan | None = None,
    stop_after: tuple[str, int] | None = None,
  ):
    if not isinstance(config, RunConfig):
      config = RunConfig.from_dict(config)
    workdir = user_paths.read(workdir)
    check_folder(workdir)
    check_wandb(config.monitoring.wandb_project)
    if config.evaluation:
      config.evaluation.check_weights()
    mesh = sharding.make_mesh(vars(config.mesh))
    shared = {
      "config": config,
      "workdir": workdir,
      "mesh": mesh,
      "stages": config.chosen_stages,
      "profile": profile,
      "stop_after": dict([stop_after] if stop_after else []),
    }
    make = _study if config.study else _token_run
    self._run, makers = make(config, workdir, shared)
    record.make_workdir(workdir)
    makers["report"] = lambda run: ReportStage(run, self._record)
    names = config.all_stages
    self._record = record.StageRecord(workdir, names, processes.is_main())
    self._stages = [makers[name](self._run) for name in self._run.stages]

  @in_own_types
  def run(self) -> pathlib.Path:
    """Runs the chosen stages; returns where the report is, or would be.

    Raises:
      UserError: Something that the user can mend, or another process writes
        into the work folder.
      loop.Interrupted: Training was asked to stop.
      KeyboardInterrupt: Another stage was.
    """
    with self._owned_folder():
      return self._run_stages()

  @contextlib.contextmanager
  def _owned_folder(self) -> Iterator[None]:
    """The first process owns the work folder, for all of them."""
    with contextlib.ExitStack() as stack:
      owned = work_folder.owned(self._run.workdir)
      processes.by_main(lambda: stack.enter_context(owned))
      yield

  def _run_stages(self) -> pathlib.Path:
    run = self._run
    devices = jax.devices()
    logging.info(
      "%d %s device(s) of %d process(es): %s.",
      len(devices),
      devices[0].platform.upper(),
      jax.process_count(),
      devices[0].device_kind,
    )
    self._record.read()
    run.check_fits()
    for stage in self._stages:
      stage.check_fits()
    processes.wait_for_all("checks")
    if processes.is_main():
      record.write_json(run.workdir / "config.json", run.config.document)
    has_worked = False
    for stage in self._stages:
      interruption.check()
      if self._is_complete(stage):
        logging.info("Stage %s is complete.", stage.name)
        self._record.note_done(stage)
      else:
        has_worked = True
        self._record.note_outdated("report")
        with self._record.running(stage):
          stage.run()
      processes.wait_for_all(stage.name)
    report = self._stages[-1]
    if has_worked and isinstance(report, ReportStage):
      report.write()  # Again, with its own duration in it.
      self._record.note_outputs(report)
    elif not has_worked:
      logging.info("All is done: %s.", ", ".join(run.stages))
    if {"evaluate", "report"} & set(run.stages) and processes.is_main():
      checks.log_missed(run.evaluation_folder)
    return run.workdir / "report" / "index.html"

  def _is_complete(self, stage: Stage) -> bool:
    """Whether nothing is left to do, and what was made is as it was written."""
    damage = self._record.find_damage(stage.name)
    if damage is not None:
      logging.warning("Stage %s: %s, and is made again.", stage.name, damage)
    is_complete = stage.is_complete() and damage is None
    return not processes.is_true_anywhere(not is_complete)

  @in_own_types
  def overfit(self) -> list[overfit.Verdict]:
    """Trains the networks on one batch; says whether they can learn.

    Makes the data set if it is missing, and saves nothing.

    Raises:
      UserError: The run is a study.
    """
    run = self._run
    if not isinstance(run, TokenRun):
      raise UserError(
        "--overfit_one_batch is for tokenizer and transformer; the curves of "
        f"{run.config.study} in the report show whether its networks learn."
      )
    with self._owned_folder():
      if isinstance(run.data, RunData):
        data = DataStage(run)
        if not data.is_complete():
          data.run()
      return overfit_run.overfit_networks(run)
