"""Makes clips by a task that a run has learnt, as files to look at.

  python -m magvit3d.generate --run=runs/traj3d --task=frame_prediction \
    --output=predicted
"""

import argparse
import sys
from collections.abc import Sequence

from magvit3d.cli import host_memory, program


def main(argv: Sequence[str] | None = None) -> int:
  """Makes the clips; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return program.run(lambda: _generate(flags), outputs=[flags.output])


def _make_parser() -> argparse.ArgumentParser:
  parser = program.make_parser(
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
    "--num",
    type=int,
    default=8,
    help="clips to make, or scenes by a run of several cameras (%(default)s)",
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
  parser.add_argument(
    "--given_views",
    type=_view_numbers,
    metavar="0,2,...",
    help="cameras whose whole clips a task is given; by default the first "
    "ones, as many as in training",
  )
  parser.add_argument(
    "--camera_rig",
    help="cameras of new scenes, as for python -m data_gen; by default the "
    "run's own",
  )
  program.add_format(parser, "clips.rrd")
  return parser


def _view_numbers(text: str) -> tuple[int, ...]:
  try:
    return tuple(int(part) for part in text.split(","))
  except ValueError:
    raise argparse.ArgumentTypeError(
      f"{text!r} are no numbers of cameras, such as 0,2"
    ) from None


def _generate(flags: argparse.Namespace) -> None:
  from magvit3d.exports import (
    clip_files,
    clips,
    opened_models,
    recorded_clips,
  )
  from magvit3d.files import new_folder
  from magvit3d.media import recordings

  new_folder.check(flags.output)
  if flags.format == "rrd":
    recordings.check()
  magvit = opened_models.open_model(flags.run)
  choices = clips.Choices(
    shape=flags.shape,
    motion=flags.motion,
    data=clips.data_folder(flags.run, flags.data),
    split=flags.split,
    given_frames=flags.given_frames,
    given_views=flags.given_views,
    camera_rig=flags.camera_rig,
  )
  made = clips.make(magvit, flags.task, flags.num, flags.seed, choices)
  facts = {
    "run": str(flags.run),
    "steps": dict(magvit.trained.steps),
    "task": flags.task,
    "seed": flags.seed,
    "clips": len(made.clips),
  }
  with new_folder.written_whole(flags.output) as temporary:
    problems = clip_files.write(made, magvit.class_names, facts, temporary)
    if flags.format == "rrd":
      scenes = recorded_clips.recorded_scenes(
        made, magvit.trained, choices.data, choices.split
      )
      recordings.write(temporary / "clips.rrd", scenes)
  count = len(made.clips) // made.num_views
  if count < flags.num:
    what = "scenes" if magvit.trained.sees_views else "clips"
    problems.append(
      f"the split has {count} {what}, fewer than --num={flags.num}."
    )
  for problem in problems:
    print(f"Note: {problem}")
  print(f"Page: {(flags.output / 'index.html').absolute()}")


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
