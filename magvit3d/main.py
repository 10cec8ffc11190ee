"""Runs an experiment: `python -m magvit3d.main --config=configs/traj3d.py`."""

import contextlib
import os
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import app, flags, logging

from data_gen.errors import DataError
from data_gen.files import user_paths
from magvit3d.cli import (
  command_line,
  console,
  environment,
  host_memory,
  interruption,
)
from magvit3d.cli.command_line import fail, stop
from magvit3d.errors import UserError
from magvit3d.files import work_folder, write_errors
from magvit3d.parallel import cluster

if TYPE_CHECKING:
  from magvit3d.config.run import RunConfig

_CONFIG = command_line.define_config(
  "Experiment, with a variant after a colon: configs/traj3d.py:tiny. "
  "Change a field by --config.FIELD=VALUE."
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder for data, checkpoints, metrics and report; runs/EXPERIMENT_NAME "
  "unless given. If it holds a run already, finished stages are skipped and "
  "an interrupted one goes on from its last checkpoint.",
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator_address",
  None,
  "HOST:PORT of the first of several processes, with --num_processes and "
  "--process_id. Slurm, Open MPI and TPU pods need none of them.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "Processes that train together."
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "Number of this process, from 0."
)
_PROFILE_STEPS = flags.DEFINE_string(
  "profile_steps",
  None,
  "A:B traces steps A to B of each stage that trains, into STAGE/profile.",
)
_OVERFIT = flags.DEFINE_boolean(
  "overfit_one_batch",
  False,
  "Trains on a single batch for some minutes, says whether the networks can "
  "learn at all, and saves nothing but the data set.",
)
_PLAN = flags.DEFINE_boolean(
  "plan",
  False,
  "Compiles every stage's step for --plan_device and says what it takes: "
  "memory, traffic, the least time. Starts nothing.",
)
_PLAN_DEVICE = flags.DEFINE_string(
  "plan_device",
  "here",
  "'here', h100:8 (any number; eight of a node), v5e:4x4 or v6e:2x2. Devices "
  "that are not here need pip install 'magvit3d[plan-gpu]' or [plan-tpu].",
)
_PLAN_JSON = flags.DEFINE_string("plan_json", None, "File for the plan.")
_PLAN_PRICE = flags.DEFINE_float(
  "plan_price", None, "Of a device and hour, in any currency."
)


def main(argv: list[str]) -> int:
  """Runs the stages; returns the exit status."""
  interruption.install()
  environment.set_up()
  status = _run(argv)
  if status and "jax" in sys.modules:
    from magvit3d.parallel import processes

    processes.leave(status)
  return status


def _run(argv: list[str]) -> int:
  console.use_streams()
  if len(argv) > 1:
    return fail(f"{argv[1]!r} is no flag; --help lists them.")
  if _CONFIG.value is None:
    return fail("--config is missing, for example configs/traj3d.py:tiny.")
  try:
    document = _CONFIG.value.to_dict()
  except OSError as error:  # Only now does the flag tell of it.
    return fail(command_line.config_error(error))
  # What takes a second to import follows, so that these are told at once.
  from magvit3d.config.run import RunConfig

  with contextlib.ExitStack() as stack:
    try:
      config = RunConfig.from_dict(document)
      workdir = user_paths.read(
        _WORKDIR.value or f"runs/{config.experiment_name}"
      )
      if _PLAN.value:
        return _print_plan(config, workdir)
      if workdir.is_dir() and not _is_one_of_several():
        stack.enter_context(work_folder.owned(workdir))
      return _run_config(config, workdir)
    except (UserError, DataError) as error:
      return fail(str(error))
    except OSError as error:
      if error.errno not in write_errors.NUMBERS:
        raise
      path = error.filename or f"A file of --workdir={workdir}"
      told = write_errors.WriteError(path, error, "read or written")
      return fail(str(told))
  return 1


def _is_one_of_several() -> bool:
  """Whether others share the work folder, which the first of them owns."""
  return _COORDINATOR.value is not None or cluster.is_in_cluster(os.environ)


def _run_config(config: "RunConfig", workdir: pathlib.Path) -> int:
  """Runs what a config says; returns the exit status."""
  from magvit3d.cli import jax_setup
  from magvit3d.experiment import Experiment
  from magvit3d.monitoring import profiling
  from magvit3d.parallel import devices, processes
  from magvit3d.training.loop import Interrupted

  profile = profiling.parse_span(_PROFILE_STEPS.value)
  processes.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
  found = devices.find()
  console.set_up(is_quiet=not processes.is_main())
  if found[0].platform == "cpu" and (advice := host_memory.advice()):
    logging.info(advice)
  try:
    jax_setup.set_up(config, workdir)
    run = Experiment(config, workdir, profile)
    if _OVERFIT.value:
      return _report_overfit(run.overfit())
    report = run.run()
  except Interrupted as error:
    return stop(str(error))
  except KeyboardInterrupt:
    return stop("Interrupted; run the same command again to continue.")
  except (RuntimeError, ValueError) as error:
    if isinstance(error, DataError) or not processes.is_about_others(error):
      raise
    return fail(
      "Another process of this run ended or cannot be reached; its own message "
      "says why. Start all of them again to continue from the last checkpoint. "
      f"({str(error).splitlines()[0]})"
    )
  if report.exists():
    print(f"Report: {report.absolute()}")
  return 0


def _print_plan(config: "RunConfig", workdir: pathlib.Path) -> int:
  """Says what a run would take; returns the exit status."""
  from magvit3d.plan import described_devices

  described_devices.prepare(_PLAN_DEVICE.value)
  from magvit3d.plan import plan, table
  from magvit3d.run import record

  try:
    made = plan.make(config, workdir, _PLAN_DEVICE.value, _PLAN_PRICE.value)
    if _PLAN_JSON.value:
      path = user_paths.read(_PLAN_JSON.value)
      record.write_json(path, made.to_json())
  except OSError as error:
    return fail(
      f"--plan_json={_PLAN_JSON.value} cannot be written ({error.strerror})."
    )
  except UserError as error:
    return fail(str(error))
  print(table.to_text(made))
  return 0


def _report_overfit(verdicts: list) -> int:
  """Says how the networks did; returns the exit status."""
  for verdict in verdicts:
    print(verdict.line())
  return 0 if all(verdict.has_learned for verdict in verdicts) else 1


if __name__ == "__main__":
  host_memory.prepare()
  app.run(main, flags_parser=command_line.parse_flags)
