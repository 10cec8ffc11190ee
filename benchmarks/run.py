"""Times this project beside two other formulations of the same work.

  python -m benchmarks.run --output=speed.json
  python -m benchmarks.run --only=transformer_1025 --output=speed.json

Each case of `benchmarks.cases` is computed by this project, in the operations
that MAGVIT's description suggests, and, where PyTorch is installed, in PyTorch.
Each has a process of its own; they take turns, and medians are compared, so
that what else the machine does meets all alike. The peak is that of products of
matrices, measured between the cases of the same run.

`--history` adds a line to benchmarks/history.jsonl, of which
`python -m benchmarks.page` makes docs/performance.md.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from benchmarks import page, programs
from benchmarks.cases import CASES, OURS, TORCH, Case
from data_gen import cores
from data_gen.files import user_paths
from magvit3d.cli import host_memory
from magvit3d.errors import UserError
from magvit3d.files import atomic_file

_DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "Where it runs.")
_ONLY = flags.DEFINE_list("only", None, "Names of cases; all unless given.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file of the results.")
_ROUNDS = flags.DEFINE_integer(
  "rounds", 7, "How often each formulation takes its turn.", lower_bound=1
)
_TORCH_PYTHON = flags.DEFINE_string(
  "torch_python",
  sys.executable,
  "Python with PyTorch, if it is not this one; it needs nothing else.",
)
_HISTORY = flags.DEFINE_boolean(
  "history", False, "Adds the results to benchmarks/history.jsonl."
)
_SMALL = flags.DEFINE_boolean(
  "small", False, "Tiny sizes, to try the programs: their times say nothing."
)
_PEAK_SIZE = {"cpu": 1536, "gpu": 8192}
_PAUSE_S = 0.3  # Threads of the process before go to sleep.


class Worker:
  """A process that does one formulation's work when it is told to.

  Args:
    order: What `benchmarks.worker` reads first.
    device: 'cpu' or 'gpu'.
    python: Interpreter.

  Attributes:
    known: What it said once it was ready.
    calls: What it measured.
  """

  def __init__(self, order: dict[str, Any], device: str, python: str):
    self.calls: list[dict[str, Any]] = []
    self._process = subprocess.Popen(
      [python, "-m", "benchmarks.worker"],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=pathlib.Path(__file__).parents[1],
      env=_environment(device, order["formulation"]),
    )
    start = time.perf_counter()
    self.known = self._ask(json.dumps(order))
    self.known["start_s"] = time.perf_counter() - start

  def run(self) -> None:
    """Does the work once."""
    time.sleep(_PAUSE_S)
    self.calls.append(self._ask("run"))

  def close(self) -> None:
    """Ends the process."""
    self._process.communicate()

  def _ask(self, line: str) -> dict[str, Any]:
    assert self._process.stdin and self._process.stdout
    print(line, file=self._process.stdin, flush=True)
    answer = self._process.stdout.readline()
    if not answer:
      raise RuntimeError(f"A worker ended early, with {self._process.wait()}.")
    return json.loads(answer)

  def summary(self, num_items: int) -> dict[str, Any]:
    """Returns medians of the calls, and what is known of the program."""
    seconds = [call["seconds"] for call in self.calls]
    median = statistics.median(seconds)
    return {
      **self.known,
      "seconds": median,
      "all_seconds": seconds,
      "items_per_second": num_items / median,
      "cores_used": statistics.median(
        call["cpu_s"] / call["seconds"] for call in self.calls
      ),
      "page_faults": statistics.median(
        call["page_faults"] for call in self.calls
      ),
      "peak_bytes": max(call["peak_kib"] for call in self.calls) * 1024,
    }


def _environment(device: str, formulation: str) -> dict[str, str]:
  """Ours has the malloc of our programs, the others that of the system."""
  known = os.environ | {"JAX_PLATFORMS": {"cpu": "cpu", "gpu": "cuda"}[device]}
  if formulation == OURS:
    known |= host_memory.jemalloc_environment(known)
  return known | {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
  }


def _order(case: Case, formulation: str, is_small: bool) -> dict[str, Any]:
  order = {
    "kind": case.kind,
    "formulation": formulation,
    "num_items": case.num_items,
    "num_warm_up": 1 if is_small else 2,
  }
  if case.kind in ("rendering", "reading"):
    return order
  changes = {"dtype": "float32", **case.changes}
  if is_small:
    sizes = programs.SHRUNK.keys() | {"dtype"}
    changes = {k: v for k, v in changes.items() if k not in sizes}
    changes |= {"dtype": "float32"}
    order["num_items"] = min(case.num_items, 2)
  config = programs.make_config(case.variant, changes, is_small=is_small)
  return order | {"config": config}


def has_torch(python: str) -> bool:
  """Whether an interpreter has PyTorch."""
  found = subprocess.run(
    [python, "-c", "import torch"], capture_output=True, check=False
  )
  return found.returncode == 0


def measure(
  case: Case,
  formulations: Sequence[str],
  peak: Worker,
  *,
  device: str,
  rounds: int,
  torch_python: str,
  is_small: bool,
) -> dict[str, Any]:
  """Returns a case's results, `formulations` in turn.

  Args:
    case: What to do.
    formulations: Those that there are here.
    peak: Runs once more, between the rounds.
    device: 'cpu' or 'gpu'.
    rounds: How often.
    torch_python: Interpreter of PyTorch's.
    is_small: See --small.
  """
  workers: dict[str, Worker] = {}
  try:
    for name in formulations:
      python = torch_python if name == TORCH else sys.executable
      order = _order(case, name, is_small)
      workers[name] = Worker(order, device, python)
    for index in range(rounds):
      for worker in workers.values():
        worker.run()
      if index % 3 == 0:
        peak.run()
  finally:
    for worker in workers.values():
      worker.close()
  num_items = _order(case, OURS, is_small)["num_items"]
  found = {name: w.summary(num_items) for name, w in workers.items()}
  return page.compared(case, found)


def _machine(device: str, found: dict[str, Any]) -> dict[str, Any]:
  kinds = {
    formulation["device"]
    for case in found.values()
    for formulation in case["formulations"].values()
    if "device" in formulation
  }
  return {
    "device": device,
    "kind": ", ".join(sorted(kinds)) or platform.machine(),
    "processor": _processor(),
    "cores": cores.available(),
    "python": platform.python_version(),
    "jax": importlib.metadata.version("jax"),
    "onednn": _version("onednn-cpu-gomp"),
    "jemalloc": "jemalloc" in _environment(device, OURS).get("LD_PRELOAD", ""),
  }


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _processor() -> str:
  path = pathlib.Path("/proc/cpuinfo")
  if not path.is_file():
    return platform.processor()
  lines = path.read_text().splitlines()
  names = [text.split(":")[1] for text in lines if "model name" in text]
  return names[0].strip() if names else platform.processor()


def _commit() -> str | None:
  done = subprocess.run(
    ["git", "describe", "--always", "--dirty"],
    cwd=pathlib.Path(__file__).parent,
    capture_output=True,
    text=True,
    check=False,
  )
  return done.stdout.strip() or None


def _chosen(names: Sequence[str] | None) -> list[str]:
  for name in names or ():
    if name not in CASES:
      raise UserError(
        f"--only={name} is no case; the cases are {', '.join(CASES)}."
      )
  return list(names or CASES)


def main(argv: list[str]) -> int | None:
  """Measures, prints the table, writes the file."""
  del argv
  try:
    chosen = _chosen(_ONLY.value)
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  torch_python = user_paths.read(_TORCH_PYTHON.value)
  with_torch = has_torch(str(torch_python))
  if not with_torch:
    print("PyTorch is not installed here: its column stays empty.")
  device = _DEVICE.value
  size = 128 if _SMALL.value else _PEAK_SIZE[device]
  order = {
    "kind": "peak",
    "formulation": OURS,
    "num_items": size,
    "num_warm_up": 2,
  }
  peak = Worker(order, device, sys.executable)
  found: dict[str, Any] = {}
  try:
    for name in chosen:
      case = CASES[name]
      here = [f for f in case.formulations if f != TORCH or with_torch]
      found[name] = measure(
        case,
        here,
        peak,
        device=device,
        rounds=_ROUNDS.value,
        torch_python=str(torch_python),
        is_small=_SMALL.value,
      )
      print(page.line(name, found[name]), flush=True)
  finally:
    peak.close()
  rate = peak.known["flops"] / min(call["seconds"] for call in peak.calls)
  results = {
    "date": datetime.date.today().isoformat(),
    "commit": _commit(),
    "is_small": _SMALL.value,
    "rounds": _ROUNDS.value,
    "machine": _machine(device, found),
    "peak_flops_per_second": rate,
    "cases": page.with_shares(found, rate),
  }
  if _OUTPUT.value:
    path = user_paths.read(_OUTPUT.value)
    atomic_file.write_text(path, json.dumps(results, indent=1) + "\n")
  if _HISTORY.value:
    page.add_to_history(results)
  print(page.table(results))
  return None


if __name__ == "__main__":
  app.run(main)
