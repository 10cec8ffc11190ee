"""Whether a run that is killed time and again ends as one that is not.

  python benchmarks/resume.py --num_kills=10 --seed=0

Trains both stages of a tiny run with a checkpoint after every step; kills it
(SIGKILL) at random moments, starts it again until it is done, and compares
every parameter, optimizer leaf, moving average, code count, metric (times and
rates aside) and the next batches with those of an unbroken run, bit by bit.
Prints where it was killed; exits with 1 on a difference, and names it.
"""

import collections
import pathlib
import sys
import tempfile
import time

import numpy as np
from absl import app, flags, logging

sys.path.insert(
  0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/fixtures")
)

import broken_run
import shrunk

_NUM_KILLS = flags.DEFINE_integer("num_kills", 10, "Kills.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
_NUM_STEPS = flags.DEFINE_integer(
  "num_steps", 12, "Steps of each stage.", lower_bound=1
)
_MAX_SHOWN = 20  # Differences.


def main(argv: list[str]) -> int:
  """Runs and compares; returns the exit status."""
  del argv
  logging.set_verbosity(logging.WARNING)
  start = time.monotonic()
  with tempfile.TemporaryDirectory() as folder:
    cache = str(pathlib.Path(folder, "compiled"))
    runs = broken_run.Runs(
      pathlib.Path(folder),
      num_steps=_NUM_STEPS.value,
      cache=cache,
      **shrunk.DISCRIMINATOR,
    )
    unbroken = runs.run("unbroken")
    broken, kills = runs.run_broken(
      "broken",
      _NUM_KILLS.value,
      np.random.default_rng(_SEED.value),
      tell=lambda line: print(line, flush=True),
    )
    differing = runs.differences(unbroken, broken)
  counts = collections.Counter((kill.stage, kill.is_saving) for kill in kills)
  for stage in broken_run.STAGES:
    print(
      f"{stage}: killed {counts[stage, True]} times while saving and "
      f"{counts[stage, False]} times otherwise."
    )
  print(
    f"{len(kills)} kills, seed {_SEED.value}, {_NUM_STEPS.value} steps a "
    f"stage, {time.monotonic() - start:.0f} s: "
    f"{len(differing) or 'no'} differences."
  )
  for name in differing[:_MAX_SHOWN]:
    print(f"differs: {name}")
  if len(kills) < _NUM_KILLS.value:
    print("The run was done before all kills; raise --num_steps.")
  return int(bool(differing))


if __name__ == "__main__":
  app.run(main)
