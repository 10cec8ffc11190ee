"""Fails writes of runs, one place after the other, and lets them go on.

From its first time on a place raises ENOSPC, EIO, EFBIG or EROFS; and the
system itself lets no file grow beyond a random size (RLIMIT_FSIZE), which is
also felt in C++. A run must end with exit status 1 and one sentence, or go on
without its status and metrics.
"""

import math

import numpy as np

from tests.torture import runs
from tests.torture.campaign import Campaign

_FAULTS_PER_RUN = 5
_ERRORS = ("ENOSPC", "EIO", "EFBIG", "EROFS")
# A run goes on without these.
_DISPENSABLE = ("status.json", "PROGRESS.txt", "metrics.jsonl", "tensorboard")
_DISPENSABLE_ENDING = ".webp"
_FILE_BYTES = (300, 2_000_000)  # Largest files are of 1 MB, about.


def at_every_place(
  torture: Campaign, stage: str, rng: np.random.Generator
) -> None:
  """Fails runs at all failpoints of a stage that had no fault yet."""
  first = int(rng.integers(len(_ERRORS)))
  workdir, failed = torture.runs.begin(stage), []
  places = torture.left("fault", torture.runs.passed[stage])
  for number, name in enumerate(places):
    if not torture.has_time():
      break
    error = _ERRORS[(first + number) % len(_ERRORS)]
    failpoint = f"{name}={error}@1+"
    end = runs.live(workdir, last=stage, failpoint=failpoint)
    if failed and end.status == 0 and not _is_dispensable(name):
      # What failed before had left this place behind.
      torture.finish(workdir, stage, "fault", failed)
      workdir, failed = torture.runs.begin(stage), []
      end = runs.live(workdir, last=stage, failpoint=failpoint)
    if _has_passed(torture, stage, f"{error} at {name}", end, name):
      torture.reach("fault", name)
      _compare_the_rest(torture, stage, workdir, name)
      workdir = torture.runs.begin(stage)
    else:
      failed.append(name)
    if len(failed) == _FAULTS_PER_RUN:
      torture.finish(workdir, stage, "fault", failed)
      workdir, failed = torture.runs.begin(stage), []
  torture.finish(workdir, stage, "fault", failed)


def _compare_the_rest(torture, stage, workdir, name) -> None:
  """Compares a run that went on without a file, but for such files."""
  torture.count("gone on without")
  differing = [
    path
    for path in torture.runs.differences(workdir, stage)
    if not path.endswith((*_DISPENSABLE, _DISPENSABLE_ENDING))
  ]
  if differing:
    torture.note_wrong(f"{stage}, without {name}: others: {differing[:8]}")
  torture.runs.forget(workdir)


def _has_passed(torture, stage, what, end, name="") -> bool:
  """Returns whether a run came to its end; notes what was wrong."""
  if end.has_traceback or end.status not in (0, 1):
    tail = end.error.strip().splitlines()[-3:]
    torture.note_wrong(f"{stage}, {what}: status {end.status}, {tail}")
  elif end.status == 1 and len(end.sentences) != 1:
    torture.note_wrong(f"{stage}, {what}: sentences {end.sentences}")
  elif end.status == 0 and name and not _is_dispensable(name):
    torture.note_wrong(f"{stage}, {what}: nobody noticed")
  elif end.status == 1:
    torture.count("one sentence")
  return end.status == 0


def _is_dispensable(name: str) -> bool:
  file = name.split(" ", 1)[1]
  return file in _DISPENSABLE or file.endswith(_DISPENSABLE_ENDING)


def of_file_sizes(
  torture: Campaign, stage: str, rng: np.random.Generator
) -> None:
  """Lets the files of a run grow to a random size only."""
  least, most = map(math.log, _FILE_BYTES)
  size = int(math.exp(rng.uniform(least, most)))
  workdir = torture.runs.begin(stage)
  end = runs.live(workdir, last=stage, max_file_bytes=size)
  what = f"files of {size} bytes"
  if _has_passed(torture, stage, what, end):
    _compare_the_rest(torture, stage, workdir, what)
  else:
    torture.finish(workdir, stage, "limited files", [what])
