"""Runs many points of a config: on this machine, or as jobs of Slurm.

  python -m launch.sweep --config=configs/traj3d.py:tiny --output=runs/lr \\
    --sweep='train_transformer.learning_rate=1e-3,2e-3;vqvae.codebook_size=96,128'

Every point is a run of magvit3d.main in OUTPUT/points. The same command goes
on after an interruption, and skips what is done. --config.FIELD=VALUE holds for
all points. More: docs/sweeps.md.
"""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Iterator, Sequence

from absl import flags as absl_flags
from absl import logging

from data_gen.files import folder_lock
from launch import points, schedule, sweep_record, sweep_status, swept_fields
from launch.points import Task
from magvit3d.cli import interruption, program
from magvit3d.cli.command_line import fail
from magvit3d.errors import UserError
from magvit3d.files import write_errors

_LOCK_NAME = ".sweep.lock"
_PAGE_NAME = "comparison.html"


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the sweep, or shows how it is; returns the exit status."""
  flags, others = _make_parser().parse_known_args(argv)
  wrong = [text for text in others if not text.startswith("--config.")]
  if wrong:
    return fail(f"{wrong[0]!r} is no flag; --help lists them.", 2)
  if flags.status:
    found = []
    status = program.run(lambda: found.append(sweep_status.show(flags.output)))
    return status or int(found[0])
  if flags.config is None or flags.sweep is None:
    name = "config" if flags.config is None else "sweep"
    return fail(f"--{name} is missing; --help shows a command.", 2)
  interruption.install()
  absl_flags.FLAGS.mark_as_parsed()  # absl warns of each log before that.
  states: dict[Task, schedule.State] = {}
  status = program.run(
    lambda: states.update(_sweep(flags, others)),
    "Run the same command again to continue.",
  )
  return status or int(_report(states))


def _make_parser() -> argparse.ArgumentParser:
  parser = program.Parser(__doc__, prog="python -m launch.sweep")
  parser.add_argument(
    "--config", metavar="FILE", help="as of magvit3d.main, variant included"
  )
  parser.add_argument(
    "--sweep",
    metavar="FIELD=A,B;... | FILE",
    help="values of each field, each with each; or a .json or .py file",
  )
  parser.add_path("--output", "DIR", "folder of the sweep, of one alone")
  parser.add_argument(
    "--executor",
    choices=("local", "slurm"),
    default="local",
    help="where points run; slurm submits a job for each",
  )
  parser.add_argument(
    "--max_parallel",
    type=int,
    metavar="N",
    help="runs at a time: 1 unless given, which takes all cores and GPUs; with "
    "more each takes one GPU. With slurm: jobs in the queue, all unless given",
  )
  parser.add_argument(
    "--slurm",
    action="append",
    default=[],
    metavar="NAME=VALUE",
    help="parameter of the jobs, such as partition=gpu, gpus_per_node=1, "
    "time=600 (minutes); may come several times",
  )
  parser.add_argument(
    "--retry", action="store_true", help="begin failed points again"
  )
  parser.add_argument(
    "--status",
    action="store_true",
    help="show how the points of --output are, and start nothing",
  )
  return parser


def _sweep(
  flags: argparse.Namespace, others: Sequence[str]
) -> dict[Task, schedule.State]:
  """Runs the sweep and writes its page."""
  if flags.max_parallel is not None and flags.max_parallel < 1:
    raise UserError(f"--max_parallel={flags.max_parallel} must be 1 or more.")
  values = swept_fields.read(flags.sweep)
  tasks = points.make([f"--config={flags.config}", *others], values)
  output = flags.output
  with _owned(output):
    sweep_record.check(output, tasks)
    executor = _make_executor(flags, len(tasks))
    states = schedule.run(output, tasks, executor, retries=flags.retry)
    _write_page(output, states)
  return states


def _make_executor(
  flags: argparse.Namespace, num_tasks: int
) -> schedule.Executor:
  if flags.executor == "slurm":
    from launch.slurm_jobs import SlurmJobs

    limit = flags.max_parallel or num_tasks
    return SlurmJobs(flags.output, limit, flags.slurm)
  if flags.slurm:
    raise UserError(f"--slurm={flags.slurm[0]} needs --executor=slurm.")
  from launch.local_runs import LocalRuns

  return LocalRuns(flags.output, flags.max_parallel or 1)


@contextlib.contextmanager
def _owned(output: pathlib.Path) -> Iterator[None]:
  """Makes the folder of a sweep, this process's own meanwhile."""
  try:
    output.mkdir(parents=True, exist_ok=True)
    with folder_lock.held(output / _LOCK_NAME, log=logging.info):
      yield
  except folder_lock.InUseError as error:
    raise UserError(
      f"--output={output} is in use by another sweep: "
      f"{error.owner or 'an unknown process'}. Wait until it has ended, stop "
      "it, or name another folder; --status shows how it is."
    ) from error
  except FileExistsError as error:
    raise UserError(
      f"--output={output} is no folder. Name another one."
    ) from error
  except OSError as error:
    raise write_errors.WriteError(output, error) from error


def _write_page(
  output: pathlib.Path, states: dict[Task, schedule.State]
) -> None:
  """Compares the points that have scores, where two or more have."""
  from magvit3d.report import compared_runs, comparison

  scored = [
    task
    for task, state in states.items()
    if task.values and state.kind == schedule.DONE and "evaluate" in task.stages
  ]
  if not any("evaluate" in task.stages for task in states):
    logging.info("There is no comparison: its stages do not evaluate.")
    return
  if len(scored) < 2:
    logging.info("There is no comparison: fewer than two points have scores.")
    return
  runs = compared_runs.load([output / task.name for task in scored])
  swept = {
    run.name: task.values for run, task in zip(runs, scored, strict=True)
  }
  comparison.write(runs, output / _PAGE_NAME, swept)
  print(f"Comparison: {(output / _PAGE_NAME).absolute()}")


def _report(states: dict[Task, schedule.State]) -> bool:
  """Says what is not done; returns whether that is anything."""
  left = {t: s for t, s in states.items() if s.kind != schedule.DONE}
  for task, state in left.items():
    reason = state.reason or "it was stopped; the same command goes on with it"
    fail(f"{task.name} {state.kind}: {reason}")
  num = sum(bool(task.values) for task in states)
  num_left = sum(bool(task.values) for task in left)
  print(f"{num - num_left} of {num} points are done.")
  if any(state.kind == schedule.FAILED for state in left.values()):
    print("--retry begins failed ones again.", file=sys.stderr)
  return bool(left)


if __name__ == "__main__":
  sys.exit(main())
