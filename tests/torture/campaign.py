"""What kills and faults have in common: time, counts, and what was wrong."""

import argparse
import collections
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from tests.torture import runs


class Campaign:
  """Disturbs runs for some minutes, and writes what came of it.

  Args:
    description: Of the program.

  Attributes:
    seed: Of what is random.
    stages: To disturb.
    runs: The run that nothing disturbs.
    status: Exit status, at the end.
  """

  def __init__(self, description: str | None):
    parser = argparse.ArgumentParser(
      description=description,
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE.json")
    parser.add_argument("--stages", default=",".join(runs.STAGES))
    self._flags = parser.parse_args()
    self.stages = self._flags.stages.split(",")
    self.seed = self._flags.seed
    self.status = 1
    self._begun_s = time.monotonic()
    self._counts: collections.Counter[str] = collections.Counter()
    self._places: set[tuple[str, str]] = set()  # Kind, name.
    self._wrong: list[str] = []

  def __enter__(self) -> "Campaign":
    self._folder = tempfile.TemporaryDirectory(prefix="magvit3d_torture_")
    self.runs = runs.Runs(pathlib.Path(self._folder.name), self._tell)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._folder.cleanup()
    if kind not in (None, KeyboardInterrupt):
      return
    passed = (self.runs.passed[stage] for stage in self.stages)
    names = set().union(*passed)
    missed = {
      kind: [name for name in sorted(names) if (kind, name) not in self._places]
      for kind in ("kill", "fault")
    }
    program = pathlib.Path(sys.argv[0]).stem
    result = {
      "command": f"python -m tests.torture.{program} "
      + shlex.join(sys.argv[1:]),
      "commit": _commit(),
      "seed": self.seed,
      "minutes": round((time.monotonic() - self._begun_s) / 60, 1),
      "counts": dict(self._counts),
      "failpoints": len(names),
      "reached": {k: len(names) - len(m) for k, m in missed.items()},
      "not_reached": missed,
      "wrong": self._wrong,
    }
    self._tell(json.dumps(result, indent=2))
    if self._flags.output:
      self._flags.output.write_text(json.dumps(result, indent=2) + "\n")
    self.status = int(bool(self._wrong or any(missed.values())))

  def _tell(self, line: str) -> None:
    print(f"{time.monotonic() - self._begun_s:6.0f} s  {line}", flush=True)

  def has_time(self) -> bool:
    """Whether the minutes are not over."""
    return time.monotonic() - self._begun_s < 60 * self._flags.minutes

  def note_wrong(self, what: str) -> None:
    """Notes that something is not as it should be."""
    self._counts["wrong"] += 1
    self._wrong.append(what)
    self._tell(f"WRONG: {what}")

  def left(self, kind: str, names: Iterable[str]) -> list[str]:
    """Returns the places, each once, that had no 'kill' or 'fault' yet."""
    return [
      name for name in dict.fromkeys(names) if (kind, name) not in self._places
    ]

  def reach(self, kind: str, name: str) -> None:
    """Notes that a place had its turn."""
    self._places.add((kind, name))

  def count(self, kind: str) -> None:
    """Counts an outcome."""
    self._counts[kind] += 1

  def finish(
    self,
    workdir: pathlib.Path,
    stage: str,
    kind: str,
    places: Sequence[str],
  ) -> None:
    """Starts a run again after it was disturbed; see `settle`."""
    if places:
      end = runs.live(workdir, last=stage)
      self.settle(workdir, stage, kind, places, end)
    elif workdir.exists():
      self.runs.forget(workdir)

  def settle(
    self,
    workdir: pathlib.Path,
    stage: str,
    kind: str,
    places: Sequence[str],
    end: runs.End,
  ) -> None:
    """Compares a run that came to its end with one that nothing disturbed.

    Args:
      workdir: Of the run, which is removed.
      stage: Its last one.
      kind: Of what disturbed it.
      places: Where it did, in order.
      end: Of its last life.
    """
    self._counts[kind] += len(places)
    self._counts["runs compared"] += 1
    self._places |= {(kind, place) for place in places}
    where = f"{stage}, {kind} at {', '.join(places)}"
    if end.status != 0 or end.has_traceback:
      tail = end.error.strip().splitlines()[-3:]
      self.note_wrong(f"{where}: then status {end.status}, {tail}")
    else:
      differing = self.runs.differences(workdir, stage)
      if differing:
        self.note_wrong(f"{where}: other bits or files: {differing[:8]}")
      else:
        self._tell(f"same bits: {where}")
    self.runs.forget(workdir)


def _commit() -> str:
  done = subprocess.run(
    ["git", "rev-parse", "--short=12", "HEAD"],
    cwd=runs.ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  return done.stdout.strip()
