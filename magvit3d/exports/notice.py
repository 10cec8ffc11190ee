"""Asks whether a model notices the impossible: its surprise at pairs of clips.

  python -m data_gen --violations --output_dir=data/pairs --num_train=0 \
    --num_validation=70 --num_test=700 --image_size=64 --size_min=2 \
    --size_max=4 --num_colors=8
  python -m magvit3d.exports.notice --run=traj3d-small --data=data/pairs \
    --output=surprise

docs/surprise.md says what is measured.
"""

import argparse
import sys
from collections.abc import Sequence

from magvit3d.cli import host_memory, program


def main(argv: Sequence[str] | None = None) -> int:
  """Writes scores and page; returns the exit status."""
  parser = program.make_parser(
    __doc__,
    "folder to write; it must not exist, or be empty",
    "data set of pairs, with splits validation and test",
  )
  parser.add_argument(
    "--num",
    type=int,
    help="pairs of each split, the first ones; all by default",
  )
  parser.add_argument(
    "--past_alone",
    action="store_true",
    help="ask for each frame given the earlier ones alone, not all others",
  )
  parser.add_argument(
    "--num_draws",
    type=int,
    help="draws of the bound of masked diffusion; by default the tokens of a "
    "frame count as independent",
  )
  flags = parser.parse_args(argv)
  return program.run(lambda: _notice(flags), outputs=[flags.output])


def _notice(flags: argparse.Namespace) -> None:
  from magvit3d.errors import UserError
  from magvit3d.evaluation import surprise
  from magvit3d.exports import opened_models, violation_scores
  from magvit3d.files import new_folder

  if flags.data is None:
    raise UserError(
      "--data is missing: a data set that python -m data_gen --violations made."
    )
  if flags.num is not None and flags.num < 1:
    raise UserError(f"--num={flags.num} must be 1 or more.")
  new_folder.check(flags.output)
  magvit = opened_models.open_model(flags.run)
  sources = violation_scores.open_pairs(flags.data, magvit)
  options = {"past_alone": flags.past_alone, "num_draws": flags.num_draws}
  measured = []
  for split, source in sources.items():
    count = len(source) if flags.num is None else min(flags.num, len(source))
    print(f"{split}: {count} pairs", flush=True)
    measured.append(violation_scores.measure(magvit, source, count, **options))
  tables = surprise.tables(*measured, "test", magvit.clip_shape[0])
  facts = {
    "run": str(flags.run),
    "steps": dict(magvit.trained.steps),
    "data": str(flags.data),
    "pairs": {s: len(m.kinds) for s, m in zip(sources, measured, strict=True)},
    **options,
  }
  with new_folder.written_whole(flags.output) as folder:
    violation_scores.write(folder, tables, sources["test"], facts)
  print(*surprise.headlines(tables), sep="\n")
  print(f"Page: {(flags.output / 'index.html').absolute()}")


if __name__ == "__main__":
  host_memory.keep_freed()
  sys.exit(main())
