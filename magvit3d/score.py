"""Scores clips of whole scenes, made by any model: in metres and in pixels.

  python -m magvit3d.score --data=data/traj3d --split=test \
    --videos=predicted.npz --given_frames=8 --output=scores.json

What the numbers mean: docs/scores.md.
"""

import argparse
import functools
import sys
from collections.abc import Sequence

from magvit3d.cli import host_memory, program


def main(argv: Sequence[str] | None = None) -> int:
  """Scores the clips; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return program.run(lambda: _score(flags), outputs=[flags.output])


def _make_parser() -> argparse.ArgumentParser:
  parser = program.Parser(__doc__)
  parser.add_path("--data", "DIR", "data set of the scenes")
  parser.add_argument(
    "--split", default="test", help="of the data set (%(default)s)"
  )
  parser.add_path(
    "--videos",
    "FILE.npz",
    "clips to score: scene_id (n,), frames uint8 (n, cameras, frames, height, "
    "width, 3)",
  )
  parser.add_path(
    "--reconstructions",
    "FILE.npz",
    "the true clips through the model's tokenizer, for a floor: the same "
    "scenes in the same order",
    required=False,
  )
  parser.add_argument(
    "--given_frames",
    type=int,
    default=0,
    help="first frames that the model was given; the others are scored "
    "(%(default)s)",
  )
  parser.add_argument(
    "--seed",
    type=int,
    default=0,
    help="of the confidence intervals (%(default)s)",
  )
  parser.add_path(
    "--output", "FILE.json", "file to write; a CSV of the same lies beside it"
  )
  program.add_format(parser, "FILE.rrd")
  return parser


def _score(flags: argparse.Namespace) -> None:
  from magvit3d.evaluation.metres import score_files, summary

  lines = score_files.score(
    score_files.Request(
      data=flags.data,
      split=flags.split,
      videos=flags.videos,
      output=flags.output,
      given_frames=flags.given_frames,
      reconstructions=flags.reconstructions,
      seed=flags.seed,
      is_recorded=flags.format == "rrd",
    ),
    log=functools.partial(print, file=sys.stderr, flush=True),
  )
  print(summary.to_text(lines))
  print(f"\nWritten: {flags.output} and {flags.output.with_suffix('.csv')}")


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
