"""Kills runs at every place that writes, and at random moments.

  python -m tests.torture.kills --seed=0 --minutes=15 --output=kills.json

A run is killed (SIGKILL) a few times, one place after the other, and then goes
to the end of its stage. All bits must be those of a run that nothing disturbed
(arrays, tokens, clips, scores, paths; not times), and the same files be there.
Exit status: 0 if they were, and every failpoint had its kill.
"""

import signal
import sys

import numpy as np

from tests.torture import campaign, runs

_KILLS_PER_RUN = 5


def main() -> int:
  """Returns the exit status."""
  with campaign.Campaign(__doc__) as torture:
    rng = np.random.default_rng(torture.seed)
    for stage in torture.stages:
      names = list(dict.fromkeys(torture.runs.passed[stage]))
      for start in range(0, len(names), _KILLS_PER_RUN):
        if torture.has_time():
          _kill_at(torture, stage, names[start : start + _KILLS_PER_RUN])
    while torture.has_time():
      stage = str(rng.choice(torture.stages))
      limit_s = torture.runs.seconds[stage]
      delays_s = rng.uniform(0, limit_s, rng.integers(1, 4)).tolist()
      _kill_after(torture, stage, delays_s)
  return torture.status


def _kill_at(torture, stage: str, names: list[str]) -> None:
  workdir, killed = torture.runs.begin(stage), []
  for name in names:
    end = runs.live(workdir, last=stage, failpoint=f"{name}=kill@1")
    if end.status == -signal.SIGKILL:
      killed.append(name)
      continue
    # What was done before is not done again: it gets a run of its own.
    torture.settle(workdir, stage, "kill", killed, end)
    workdir, killed = torture.runs.begin(stage), []
    end = runs.live(workdir, last=stage, failpoint=f"{name}=kill@1")
    if end.status == -signal.SIGKILL:
      killed.append(name)
  torture.finish(workdir, stage, "kill", killed)


def _kill_after(torture, stage: str, delays_s: list[float]) -> None:
  workdir, killed = torture.runs.begin(stage), []
  for delay_s in delays_s:
    end = runs.live(workdir, last=stage, kill_after_s=delay_s)
    if end.status == -signal.SIGKILL:
      killed.append(f"after {delay_s:.1f} s")
  torture.finish(workdir, stage, "random kill", killed)


if __name__ == "__main__":
  sys.exit(main())
