"""Kills runs at every place that writes, and at random moments."""

import signal

import numpy as np

from tests.torture import runs
from tests.torture.campaign import Campaign

_KILLS_PER_RUN = 5


def at_every_place(torture: Campaign, stage: str) -> None:
  """Kills runs at all failpoints of a stage that had no kill yet."""
  workdir, killed = torture.runs.begin(stage), []
  for name in torture.left("kill", torture.runs.passed[stage]):
    if not torture.has_time():
      break
    failpoint = f"{name}=kill@1"
    end = runs.live(workdir, last=stage, failpoint=failpoint)
    if end.status != -signal.SIGKILL:
      # What was done before is not done again: it gets a run of its own.
      torture.settle(workdir, stage, "kill", killed, end)
      workdir, killed = torture.runs.begin(stage), []
      end = runs.live(workdir, last=stage, failpoint=failpoint)
    if end.status == -signal.SIGKILL:
      killed.append(name)
    if len(killed) == _KILLS_PER_RUN:
      torture.finish(workdir, stage, "kill", killed)
      workdir, killed = torture.runs.begin(stage), []
  torture.finish(workdir, stage, "kill", killed)


def at_random(torture: Campaign, stage: str, rng: np.random.Generator) -> None:
  """Kills a run one to three times, wherever it is then."""
  workdir, killed = torture.runs.begin(stage), []
  for delay_s in rng.uniform(
    0, torture.runs.seconds[stage], rng.integers(1, 4)
  ):
    end = runs.live(workdir, last=stage, kill_after_s=delay_s)
    if end.status == -signal.SIGKILL:
      killed.append(f"after {delay_s:.1f} s")
  torture.finish(workdir, stage, "random kill", killed)
