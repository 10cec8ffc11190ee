"""Step `bits`: is a run the same to the bit when it is run again?

  python -m benchmarks.gpu.bits --output=gpu_check --work=/tmp/bits

Trains both stages of a small run for some steps: twice, each time with programs
compiled anew, so that algorithms are chosen anew; and once stopped in the midst
of either stage and resumed. All that with XLA's deterministic operations and
without. Compares checksums of all leaves of the last states.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

from absl import app, flags

from benchmarks.gpu.results import SMALL, WORK, Results
from data_gen.files import user_paths

_NUM_STEPS = flags.DEFINE_integer("num_steps", 30, "Of each stage.")
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SETTINGS = {
  "default": "",
  "deterministic": "--xla_gpu_deterministic_ops=true",
}
_LIVES = ("unbroken", "again", "resumed")
_MAX_SHOWN = 10  # Leaves that differ.
_processes: list[subprocess.Popen] = []


def main(argv: list[str]) -> int:
  """Runs and compares; returns the exit status."""
  del argv
  signal.signal(signal.SIGTERM, _end)
  results = Results("bits")
  work = user_paths.read(WORK.value).absolute()
  settings = dict(list(_SETTINGS.items())[:1]) if SMALL.value else _SETTINGS
  data = work / "data_alone"
  results.attempt("data", "seconds", lambda: _wait(_start(data, "data", "")))
  processes = {
    (name, life): _start(work / f"{name}_{life}", life, flag)
    for name, flag in settings.items()
    for life in _LIVES
  }
  for name in settings:
    sums = {
      life: results.attempt(
        name, life, lambda p=processes[name, life]: _wait(p)
      )
      for life in _LIVES
    }
    for life in _LIVES[1:]:
      if sums["unbroken"] and sums[life]:
        difference = _difference(sums["unbroken"], sums[life])
        results.put(name, f"unbroken and {life}", difference)
  return int(results.num_failed > 0)


def _start(workdir: pathlib.Path, life: str, flag: str) -> subprocess.Popen:
  environment = dict(os.environ)
  environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {flag}"
  # Of its own, so that nothing is shared but the data.
  environment.pop("JAX_COMPILATION_CACHE_DIR", None)
  num_steps = 2 if SMALL.value else _NUM_STEPS.value
  command = [
    *(sys.executable, "-m", "benchmarks.gpu.short_run"),
    *(str(workdir), life, str(num_steps), str(int(SMALL.value))),
  ]
  process = subprocess.Popen(
    command,
    cwd=_ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  _processes.append(process)
  return process


def _end(*_) -> None:
  """Ends the runs with this process: training takes SIGTERM in its own way."""
  for process in _processes:
    process.kill()
  sys.exit(1)


def _wait(process: subprocess.Popen) -> dict[str, Any]:
  """What it printed last, which is JSON."""
  out, error = process.communicate()
  if process.returncode:
    raise RuntimeError(error[-500:])
  return json.loads(out.splitlines()[-1])


def _difference(wanted: dict[str, Any], found: dict[str, Any]) -> Any:
  a, b = wanted["leaves"], found["leaves"]
  differing = [key for key in a | b if a.get(key) != b.get(key)]
  return {
    "same": not differing,
    "leaves": len(a),
    "differing": len(differing),
    "first": differing[:_MAX_SHOWN],
  }


if __name__ == "__main__":
  app.run(main)
