"""Makes clips by a task that a run has learnt, as files to look at.

  python -m magvit3d.generate --run=runs/traj3d --task=frame_prediction \
    --output=predicted
"""

import pathlib

from absl import app, flags

from magvit3d import command_line
from magvit3d.command_line import fail

_RUN = flags.DEFINE_string(
  "run",
  None,
  "Work folder of a run, or a folder that save_pretrained wrote.",
)
_TASK = flags.DEFINE_string(
  "task", "full_generation", "One of the tasks that the run has learnt."
)
_NUM = flags.DEFINE_integer("num", 8, "Clips to make.")
_SEED = flags.DEFINE_integer("seed", 0, "The same one makes the same clips.")
_OUTPUT = flags.DEFINE_string(
  "output", None, "Folder to write; it must not exist, or be empty."
)
_SHAPE = flags.DEFINE_string(
  "shape", None, "Of the object, for full generation; any by default."
)
_MOTION = flags.DEFINE_string(
  "motion", None, "Of the object, for full generation; any by default."
)
_DATA = flags.DEFINE_string(
  "data",
  None,
  "Data set with the clips that tasks are shown a part of; the run's own by "
  "default.",
)
_SPLIT = flags.DEFINE_string("split", "test", "Split of the data set.")
_GIVEN_FRAMES = flags.DEFINE_integer(
  "given_frames",
  None,
  "Frames that frame prediction is shown; by default as many as in training.",
)


def main(argv: list[str]) -> int:
  """Makes the clips; returns the exit status."""
  if len(argv) > 1:
    return fail(f"{argv[1]!r} is no flag; --help lists them.")
  for flag in (_RUN, _OUTPUT):
    if not flag.value:
      return fail(f"--{flag.name} is missing; see --help.")
  # After the flags, so that a mistake in them is told at once.
  from data_gen.errors import DataError
  from magvit3d import console
  from magvit3d.errors import UserError

  console.set_up()
  output = pathlib.Path(_OUTPUT.value).expanduser()
  try:
    _generate(output)
  except (UserError, DataError) as error:
    return fail(str(error))
  print(f"Page: {(output / 'index.html').absolute()}")
  return 0


def _generate(output: pathlib.Path) -> None:
  from magvit3d import generated_files, new_folder, task_clips
  from magvit3d.api import open_folder

  new_folder.check(output)
  folder = pathlib.Path(_RUN.value).expanduser()
  magvit = open_folder(folder)
  made = task_clips.make(
    magvit,
    _TASK.value,
    _NUM.value,
    _SEED.value,
    task_clips.Choices(
      shape=_SHAPE.value,
      motion=_MOTION.value,
      data=task_clips.data_folder(folder, _DATA.value),
      split=_SPLIT.value,
      given_frames=_GIVEN_FRAMES.value,
    ),
  )
  facts = {
    "run": str(folder),
    "steps": dict(magvit.trained.steps),
    "task": made.task,
    "seed": _SEED.value,
    "clips": len(made.clips),
  }
  with new_folder.written_whole(output) as temporary:
    problems = generated_files.write(made, magvit.class_names, facts, temporary)
  for problem in problems:
    print(f"Note: {problem}")


if __name__ == "__main__":
  app.run(main, flags_parser=command_line.parse_flags)
