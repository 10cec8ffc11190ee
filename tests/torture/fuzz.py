"""Feeds readers of outside files with files that are not as they should be.

  python -m tests.torture.fuzz --seed=0 --minutes=10 --output=fuzz.json

Sound files are mutated, by bytes and by structure, and read in processes of
their own, one for each reader at a time: one that dies, hangs or takes too much
memory costs one input. An input is told by reader, seed and number alone.
Inputs that end otherwise than in a right error, or in a value that may be, are
kept in `corpus/`, which `fuzz_test.py` replays.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/fixtures")]
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Not above: they are found in the folders above.
from tests.torture import fuzz_mutations, fuzz_readers  # noqa: E402

CORPUS = pathlib.Path(__file__).parent / "corpus"
OUTCOMES = (
  "right error",
  "accepted and right",
  "accepted",  # Nothing tells whether it is right.
  "accepted and wrong",
  "traceback",
  "hang",
  "memory",
  "died",
)
BAD = OUTCOMES[3:]
TIME_LIMIT_S = 20
# More than before. Sound inputs take a few; the largest picture or frame that
# may be takes 128, and as much again where it is converted.
MEMORY_LIMIT_MIB = 512
_ADDRESSES_BYTES = (
  6 * 2**30
)  # More than before; this is for the machine's sake.
_FIRST_BATCH, _BATCH_S = 300, 90


class _Hang(BaseException):
  """An input took too long."""


def judge(opened: fuzz_readers.Opened, data: bytes) -> tuple[str, str]:
  """Reads an input; returns one of `OUTCOMES`, and what it was."""
  before = _peak_mib()
  start = time.monotonic()
  try:
    outcome, text = _judge(opened, data)
  except _Hang:
    return "hang", ""
  finally:
    signal.alarm(0)
  if time.monotonic() - start > TIME_LIMIT_S:
    return "hang", text
  taken = _peak_mib() - before
  if outcome not in BAD and taken > MEMORY_LIMIT_MIB:
    return "memory", f"{taken} MiB"
  return outcome, text


def _judge(opened, data):
  signal.signal(signal.SIGALRM, _raise_hang)
  signal.alarm(TIME_LIMIT_S)
  try:
    found = opened.read(data)
  except opened.reader.errors as error:
    if not str(error).strip():
      return "traceback", f"an error without words: {error!r}"
    return "right error", str(error)
  except Exception:
    return "traceback", traceback.format_exc()
  if opened.sound is None:
    return "accepted", ""
  is_right = any(fuzz_readers.equal(found, value) for value in opened.sound)
  return ("accepted and right" if is_right else "accepted and wrong"), str(
    found
  )[:500]


def _raise_hang(*_):
  raise _Hang


def _peak_mib() -> int:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def make_input(opened: fuzz_readers.Opened, seed: int, number: int) -> bytes:
  """Returns an input: every one is another."""
  name = opened.reader.name.encode()
  rng = np.random.default_rng([seed, *name, number])
  changed = fuzz_mutations.mutate(
    rng, opened.samples, is_json=opened.reader.is_json
  )
  return opened.reader.seal(changed)


def _work(name: str, seed: int, start: int, end: int) -> None:
  """A process that reads inputs, and says of each how it went."""
  # What programs print meanwhile is no word of ours.
  words = os.fdopen(os.dup(1), "w", buffering=1)
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
  with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
    opened = fuzz_readers.open_reader(name, pathlib.Path(folder))
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * 4096
    limit = size + _ADDRESSES_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(start, end):
      words.write(json.dumps([number]) + "\n")
      data = make_input(opened, seed, number)
      outcome, text = judge(opened, data)
      words.write(json.dumps([number, outcome, text[-2000:]]) + "\n")
      if outcome in ("hang", "memory"):
        return  # Its process is no measure for the next.


def _run_batch(name, seed, start, end) -> list[tuple[int, str, str]]:
  """Reads some inputs in another process; what it leaves is not read."""
  command = [sys.executable, "-m", "tests.torture.fuzz", "--work", name]
  command += [str(seed), str(start), str(end)]
  with tempfile.TemporaryFile() as errors:
    worker = subprocess.Popen(
      command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    lines: queue.Queue = queue.Queue()
    threading.Thread(
      target=lambda: [lines.put(line) for line in (*worker.stdout, None)],
      daemon=True,
    ).start()
    found, begun = [], None
    while True:
      try:
        # The first line comes after all is imported.
        line = lines.get(timeout=2 * TIME_LIMIT_S if begun is not None else 300)
      except queue.Empty:
        worker.kill()
        found.append((start if begun is None else begun, "hang", "killed"))
        break
      if line is None:
        break
      number, *word = json.loads(line)
      begun = number if not word else None
      if word:
        found.append((number, *word))
    worker.wait()
    if begun is not None and (not found or found[-1][0] != begun):
      errors.seek(0)
      text = errors.read().decode(errors="replace")[-2000:]
      found.append((begun, "died", f"exit status {worker.returncode}\n{text}"))
    if not found:
      errors.seek(0)
      raise RuntimeError(errors.read().decode(errors="replace")[-3000:])
  return found


def fuzz(
  names: list[str], seed: int, seconds: float, most: int
) -> dict[str, dict[str, int]]:
  """Reads inputs until the time is over; returns counts by reader."""
  counts = {name: collections.Counter() for name in names}
  places = dict.fromkeys(names, 0)
  used_s = dict.fromkeys(names, 0.0)
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    waiting = [name for name in names if places[name] < _share(name, most)]
    if not waiting:
      break
    # The one with the fewest inputs is next.
    name = min(waiting, key=lambda name: places[name] / _share(name, most))
    start = time.monotonic()
    batch = _FIRST_BATCH
    if used_s[name]:
      batch = int(np.clip(_BATCH_S * places[name] / used_s[name], 20, 20000))
    stop = min(places[name] + batch, _share(name, most))
    for number, outcome, text in _run_batch(name, seed, places[name], stop):
      counts[name][outcome] += 1
      places[name] = number + 1
      if outcome in BAD:
        _keep(name, seed, number, outcome, text)
    used_s[name] += time.monotonic() - start
  return {
    name: {outcome: counts[name][outcome] for outcome in OUTCOMES}
    for name in names
  }


def _share(name: str, most: int) -> int:
  """Inputs of a reader of several files are divided among these."""
  kind = name.partition("-")[0]
  if kind not in ("report", "compare"):
    return most
  return -(-most // sum(other.startswith(kind) for other in fuzz_readers.NAMES))


def _keep(name, seed, number, outcome, text) -> None:
  print(f"{name} {seed} {number}: {outcome}\n{text}", flush=True)
  with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
    opened = fuzz_readers.open_reader(name, pathlib.Path(folder))
    data = make_input(opened, seed, number)
  CORPUS.mkdir(exist_ok=True)
  digest = hashlib.sha256(data).hexdigest()[:10]
  (CORPUS / f"{name}-{digest}").write_bytes(data)


def main(argv: list[str]) -> int:
  """Fuzzes; returns 1 if anything went wrong."""
  if argv[:1] == ["--work"]:
    _work(argv[1], *map(int, argv[2:]))
    return 0
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--minutes", type=float, default=5.0)
  parser.add_argument("--output", type=pathlib.Path)
  parser.add_argument("--most", type=int, default=10**9, help="of each reader")
  parser.add_argument("--reader", action="append", choices=fuzz_readers.NAMES)
  flags = parser.parse_args(argv)
  names = flags.reader or list(fuzz_readers.NAMES)
  start = time.monotonic()
  counts = fuzz(names, flags.seed, 60 * flags.minutes, flags.most)
  total = {
    outcome: sum(found[outcome] for found in counts.values())
    for outcome in OUTCOMES
  }
  commit = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
  ).stdout.strip()
  content = {
    "command": " ".join(["python -m tests.torture.fuzz", *argv]),
    "commit": commit,
    "seed": flags.seed,
    "seconds": round(time.monotonic() - start),
    "inputs": sum(total.values()),
    "total": total,
    "readers": counts,
  }
  print(to_table(content))
  if flags.output:
    flags.output.write_text(json.dumps(content, indent=2) + "\n")
  return int(any(total[outcome] for outcome in BAD))


def to_table(content: dict) -> str:
  """Returns the counts as a table of Markdown."""
  heads = ("reader", "inputs", *OUTCOMES)
  rows = [*content["readers"].items(), ("all", content["total"])]
  lines = [heads, ["---", *["--:"] * (len(heads) - 1)]]
  lines += [
    (name, sum(found.values()), *found.values()) for name, found in rows
  ]
  return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
  with contextlib.suppress(BrokenPipeError):
    sys.exit(main(sys.argv[1:]))
