"""Kills runs, and fails their writes, at every place that writes.

  python -m tests.torture.writes --seed=0 --minutes=60 --output=writes.json

A run is disturbed a few times, one place after the other, and then goes to the
end of its stage. All bits must be those of a run that nothing disturbed
(arrays, tokens, clips, scores, paths; not times), and the same files be there;
see `kills` and `faults`. Exit status: 0 if it was so, and every failpoint had
its kill and its fault.
"""

import sys

import numpy as np

from tests.torture import faults, kills
from tests.torture.campaign import Campaign


def main() -> int:
  """Returns the exit status."""
  with Campaign(__doc__) as torture:
    rng = np.random.default_rng(torture.seed)
    for stage in torture.stages:
      kills.at_every_place(torture, stage)
      faults.at_every_place(torture, stage, rng)
    while torture.has_time():
      stage = str(rng.choice(torture.stages))
      kills.at_random(torture, stage, rng)
      faults.of_file_sizes(torture, stage, rng)
  return torture.status


if __name__ == "__main__":
  sys.exit(main())
