"""Writes the tokens of a data set as records for other trainers.

  python -m magvit3d.tokenize --run=runs/traj3d --data=data/traj3d \
    --output=tokens
"""

import argparse
import sys
from collections.abc import Sequence

from magvit3d.cli import host_memory, program


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the tokens; returns the exit status."""
  parser = program.make_parser(
    __doc__,
    "folder to write; a part of the same tokens that it holds is kept",
    "data set to tokenize; by default the run's own",
  )
  parser.add_argument(
    "--splits", default="", help="with commas between; by default all"
  )
  parser.add_argument(
    "--batch_size",
    type=int,
    default=24,
    help="clips at a time, over all devices (%(default)s)",
  )
  flags = parser.parse_args(argv)
  return program.run(
    lambda: _tokenize(flags),
    "Run the same command again to continue.",
    [flags.output],
  )


def _tokenize(flags: argparse.Namespace) -> None:
  from magvit3d.errors import UserError
  from magvit3d.exports import clips, opened_models, tokens

  data = clips.data_folder(flags.run, flags.data)
  if data is None:
    raise UserError(
      f"--data is missing, and {flags.run} does not say where it is."
    )
  splits = [name.strip() for name in flags.splits.split(",") if name.strip()]
  magvit = opened_models.open_model(flags.run, batch_size=flags.batch_size)
  checks = tokens.export(magvit, data, flags.output, splits)
  for split, check in checks.items():
    print(split, *check.lines(), sep="\n")
  print(f"Tokens: {flags.output.absolute()}")


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
