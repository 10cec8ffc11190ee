"""Writes tokenizer and detokenizer as StableHLO, which needs no magvit3d.

  python -m magvit3d.export --run=runs/traj3d --output=exported

Both take any number of clips. Parameters are inside of the files; signatures
are in README.md and signatures.json beside them.
"""

import argparse
import sys
from collections.abc import Sequence

from magvit3d.cli import program


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the files; returns the exit status."""
  parser = program.make_parser(
    __doc__, "folder to write; it must not exist, or be empty"
  )
  parser.add_argument(
    "--pixels",
    default="uint8",
    choices=("uint8", "float32"),
    help="type of the clips: uint8 in [0, 255], float32 in [0, 1] "
    "(%(default)s)",
  )
  parser.add_argument(
    "--platforms",
    default="cpu,cuda,tpu",
    help="what the files shall run on (%(default)s)",
  )
  flags = parser.parse_args(argv)
  return program.run(lambda: _export(flags), outputs=[flags.output])


def _export(flags: argparse.Namespace) -> None:
  from magvit3d.exports import opened_models, stable_hlo
  from magvit3d.files import new_folder

  new_folder.check(flags.output)
  stable_hlo.export_tokenizer(
    opened_models.open_model(flags.run),
    flags.output,
    pixels=flags.pixels,
    platforms=tuple(flags.platforms.split(",")),
  )
  print(f"Written to {flags.output.absolute()}")


if __name__ == "__main__":
  sys.exit(main())
