"""Packs a finished run as a model that comes with the package: a maintainer's.

  python -m magvit3d.exports.ship --run=runs/traj3d_small --name=traj3d-small

Parameters are stored as float16; the card beside them has the run's scores and
those of 24 new scenes, which tests/pretrained/shipped_models_test.py computes
again.
"""

import argparse
import sys
from collections.abc import Sequence

from magvit3d.cli import host_memory, program


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the folder; returns the exit status."""
  parser = program.make_parser(
    __doc__,
    "folder in which one of the model's name is made (magvit3d/pretrained of "
    "this checkout)",
    output_is_required=False,
  )
  parser.add_argument(
    "--name", required=True, help="of the model, such as traj3d-small"
  )
  parser.add_argument(
    "--command",
    help="that trained the run; by default the one that its config tells",
  )
  flags = parser.parse_args(argv)
  return program.run(lambda: _ship(flags))


def _ship(flags: argparse.Namespace) -> None:
  from magvit3d.exports import shipping
  from magvit3d.pretrained import shipped

  print("Packing takes a minute or two.", flush=True)
  folder = shipping.ship(
    flags.run, flags.name, flags.output or shipped.ROOT, flags.command
  )
  print(f"Written: {folder}")


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
