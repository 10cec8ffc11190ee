"""Shows in a minute what a trained model can do, on scenes nobody has seen.

  python -m magvit3d.demo

Renders scenes, predicts their later frames, samples each class, and writes one
page to look at: docs/demo.md.
"""

import argparse
import pathlib
import secrets
import sys
from collections.abc import Sequence

from data_gen.files import user_paths
from magvit3d.cli import host_memory, program

_DEFAULT_MODEL = "traj3d-small"
_MOST_CHANCE = 10**6  # Seeds that are easy to type.


def main(argv: Sequence[str] | None = None) -> int:
  """Makes the page; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return program.run(
    lambda: _show(flags), outputs=[flags.output, flags.picture]
  )


def _make_parser() -> argparse.ArgumentParser:
  parser = program.Parser(__doc__)
  parser.add_argument(
    "--model",
    default=_DEFAULT_MODEL,
    help="name of a model that comes with magvit3d, a folder that "
    "save_pretrained wrote, or the work folder of a run (%(default)s)",
  )
  parser.add_argument(
    "--seed",
    type=int,
    help="of the scenes and of the model's draws; by default any",
  )
  parser.add_path(
    "--output",
    "DIR",
    "folder to write; it must not exist, or be empty "
    "(magvit3d_demo/MODEL_SEED)",
    required=False,
  )
  parser.add_path(
    "--picture",
    "FILE.webp",
    "also write true and predicted clips as one moving picture; an earlier one "
    "is replaced",
    required=False,
  )
  return parser


def _show(flags: argparse.Namespace) -> None:
  seed = flags.seed
  if seed is None:
    seed = secrets.randbelow(_MOST_CHANCE)
  model = user_paths.read(flags.model)
  output = flags.output
  if output is None:
    output = pathlib.Path("magvit3d_demo") / f"{model.name}_{seed}"
  print(f"{flags.model}, --seed={seed}", flush=True)

  from magvit3d.errors import UserError
  from magvit3d.exports import demo_run, picture_grid
  from magvit3d.files import new_folder

  demo_run.check(model, seed)
  new_folder.check(output)
  if flags.picture is not None:
    if output.resolve() in flags.picture.resolve().parents:
      raise UserError(
        f"--picture={flags.picture} lies in the folder of the page, {output}, "
        "which comes into being whole. Name a place beside it."
      )
    picture_grid.check(flags.picture)
  with new_folder.written_whole(output) as folder:
    lines = demo_run.run(model, seed, folder, flags.picture)
  print(*lines, sep="\n")
  print(f"Page: {(output / 'index.html').absolute()}")


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
