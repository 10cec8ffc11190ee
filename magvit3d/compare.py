"""Compares runs on one page: scores, checks, curves, configs, passports.

  python -m magvit3d.compare runs/a runs/b --output=comparison.html

What is on the page: docs/comparison.md.
"""

import argparse
import sys
from collections.abc import Sequence

from data_gen.files import user_paths
from magvit3d.cli import program


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the page; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return program.run(lambda: _compare(flags), outputs=[flags.output])


def _make_parser() -> argparse.ArgumentParser:
  parser = program.Parser(__doc__)
  parser.add_argument(
    "runs",
    type=user_paths.argument,
    nargs="+",
    metavar="DIR",
    help="work folders of two or more runs that have been evaluated",
  )
  parser.add_path("--output", "FILE.html", "page to write")
  return parser


def _compare(flags: argparse.Namespace) -> None:
  from magvit3d.files import output_file
  from magvit3d.report import compared_runs, comparison

  runs = compared_runs.load(flags.runs)
  comparison.check_output(runs, flags.output)
  output_file.check(flags.output)
  try:
    comparison.write(runs, flags.output)
  except OSError as error:
    raise output_file.not_writable(flags.output, error) from error
  print(f"Written: {flags.output}")


if __name__ == "__main__":
  sys.exit(main())
