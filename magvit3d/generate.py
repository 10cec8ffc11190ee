"""Makes clips by a task that a run has learnt, as files to look at.

  python -m magvit3d.generate --run=runs/traj3d --task=frame_prediction \
    --output=predicted
"""

import argparse
import sys
from collections.abc import Sequence

from magvit3d import run_program


def main(argv: Sequence[str] | None = None) -> int:
  """Makes the clips; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return run_program.run(lambda: _generate(flags))


def _make_parser() -> argparse.ArgumentParser:
  parser = run_program.make_parser(
    __doc__,
    "folder to write; it must not exist, or be empty",
    "data set with the clips that tasks are shown a part of; by default the "
    "run's own",
  )
  parser.add_argument(
    "--task",
    default="full_generation",
    help="one that the run has learnt (%(default)s)",
  )
  parser.add_argument(
    "--num", type=int, default=8, help="clips to make (%(default)s)"
  )
  parser.add_argument(
    "--seed",
    type=int,
    default=0,
    help="the same one makes the same clips (%(default)s)",
  )
  parser.add_argument(
    "--shape", help="of the object, for full generation; any by default"
  )
  parser.add_argument(
    "--motion", help="of the object, for full generation; any by default"
  )
  parser.add_argument(
    "--split", default="test", help="of the data set (%(default)s)"
  )
  parser.add_argument(
    "--given_frames",
    type=int,
    help="that frame prediction is shown; by default as many as in training",
  )
  return parser


def _generate(flags: argparse.Namespace) -> None:
  from magvit3d.api import open_folder
  from magvit3d.inference import generated_files, new_folder, task_clips

  new_folder.check(flags.output)
  magvit = open_folder(flags.run)
  choices = task_clips.Choices(
    shape=flags.shape,
    motion=flags.motion,
    data=task_clips.data_folder(flags.run, flags.data),
    split=flags.split,
    given_frames=flags.given_frames,
  )
  made = task_clips.make(magvit, flags.task, flags.num, flags.seed, choices)
  facts = {
    "run": str(flags.run),
    "steps": dict(magvit.trained.steps),
    "task": flags.task,
    "seed": flags.seed,
    "clips": len(made.clips),
  }
  with new_folder.written_whole(flags.output) as temporary:
    problems = generated_files.write(made, magvit.class_names, facts, temporary)
  if len(made.clips) < flags.num:
    problems.append(
      f"the split has {len(made.clips)} clips, fewer than --num={flags.num}."
    )
  for problem in problems:
    print(f"Note: {problem}")
  print(f"Page: {(flags.output / 'index.html').absolute()}")


if __name__ == "__main__":
  sys.exit(main())
