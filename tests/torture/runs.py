"""Runs of all stages, in seconds, that are broken off and compared.

A run is a child of this process, which has imported all that it needs and has
not used JAX. So a start takes what reading compiled programs takes.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fixtures")]
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=1"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import shrunk  # noqa: E402
from absl import app  # noqa: E402

import magvit3d.experiment  # noqa: E402, F401
from data_gen.files import failpoints  # noqa: E402
from magvit3d import main as main_program  # noqa: E402
from magvit3d.cli import command_line  # noqa: E402

STAGES = ("data", "tokenizer", "transformer", "evaluate", "report")
_FIELDS = {
  "data.num_train": 4,
  "data.num_validation": 2,
  "data.num_test": 2,
  "data.scenes_per_shard": 2,
  "data.preview": 1,
  "evaluation.num_clips": 3,
  "evaluation.num_shown_clips": 1,
  "evaluation.num_probe_scenes": 0,
  "evaluation.num_samples_per_class": 1,
}
for _stage in ("train_tokenizer", "train_transformer"):
  _FIELDS |= {
    f"{_stage}.num_steps": 4,
    f"{_stage}.warmup_steps": 1,
    f"{_stage}.validate_every_steps": 2,
    f"{_stage}.checkpoint_every_steps": 1,
    f"{_stage}.num_validation_clips": 2,
  }
_LIMIT_S = 300.0
_POLL_S = 0.02
# Metrics, and parts of scores.json, that are not the same twice.
_OF_THE_MACHINE = re.compile(r"time|second|wait|memory|flop|peak|^run$|^date$")


@dataclasses.dataclass(frozen=True)
class End:
  """How a life of a run ended.

  Attributes:
    status: Exit status; negative: of a signal; None: it hung.
    error: What it wrote to stderr.
    seconds: It took.
  """

  status: int | None
  error: str
  seconds: float

  @property
  def sentences(self) -> list[str]:
    """Lines that say what was wrong."""
    return [
      line for line in self.error.splitlines() if line.startswith("Error: ")
    ]

  @property
  def has_traceback(self) -> bool:
    """Whether a user saw one."""
    return "Traceback" in self.error or "Exception ignored" in self.error


def live(
  workdir: pathlib.Path,
  *,
  last: str = STAGES[-1],
  failpoint: str = "",
  log: pathlib.Path | None = None,
  kill_after_s: float | None = None,
  max_file_bytes: int | None = None,
) -> End:
  """Starts a run, and waits for its end.

  Args:
    workdir: Its folder.
    last: Stage to end with.
    failpoint: See `data_gen.files.failpoints`.
    log: Gets the names of all failpoints that are passed.
    kill_after_s: When to kill it; None: never.
    max_file_bytes: Of all files that it writes; None: no limit.
  """
  errors = workdir.parent / f"{workdir.name}.stderr"
  start_s = time.monotonic()
  pid = os.fork()
  if not pid:
    try:
      os.environ[failpoints.VARIABLE] = failpoint
      os.environ[failpoints.LOG_VARIABLE] = str(log or "")
      importlib.reload(failpoints)
      stages = STAGES[: STAGES.index(last) + 1]
      _run(workdir, stages, errors, max_file_bytes)
    finally:
      os._exit(99)  # `_run` exits.
  status = _wait(pid, start_s, kill_after_s)
  took_s = time.monotonic() - start_s
  return End(status, errors.read_text(errors="replace"), took_s)


def _run(workdir, stages, errors, max_file_bytes) -> None:
  with open(os.devnull) as empty, errors.open("w") as file:
    os.dup2(empty.fileno(), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(file.fileno(), 2)
  if max_file_bytes is not None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, most))
  cache = f"--config.compilation_cache_dir={workdir.parent / 'compiled'}"
  fields = {key.replace(".", "__"): value for key, value in _FIELDS.items()}
  fields |= shrunk.DISCRIMINATOR
  arguments = shrunk.make_arguments(**fields, stages=",".join(stages))
  os.chdir(ROOT)
  status = 99
  try:
    # Flags of configs look into it for themselves.
    sys.argv = ["main", f"--workdir={workdir}", *arguments, cache]
    app.run(main_program.main, flags_parser=command_line.parse_flags)
  except SystemExit as error:
    status = error.code or 0
  except BaseException:
    import traceback

    traceback.print_exc()
    status = 1
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _wait(pid, start_s, kill_after_s) -> int | None:
  limit_s = _LIMIT_S if kill_after_s is None else kill_after_s
  while True:
    found, status = os.waitpid(pid, os.WNOHANG)
    if found:
      return os.waitstatus_to_exitcode(status)
    if time.monotonic() - start_s > limit_s:
      os.kill(pid, signal.SIGKILL)
      os.waitpid(pid, 0)
      return None if kill_after_s is None else -signal.SIGKILL
    time.sleep(_POLL_S)


class Runs:
  """A run that nothing disturbed, with its stages as starts for others.

  Args:
    folder: Holds all; on one disk.
    tell: Takes a line.
  """

  def __init__(self, folder: pathlib.Path, tell: Callable[[str], None]):
    self._folder = folder
    self._made = 0
    self._wanted: dict[str, dict[str, str]] = {}  # By the last stage.
    self.passed: dict[str, list[str]] = {}  # Failpoints, by stage.
    self.seconds: dict[str, float] = {}
    workdir = folder / "unbroken"
    for number, stage in enumerate(STAGES):
      if number:
        shutil.copytree(workdir, folder / f"before_{stage}")
      log = folder / f"{stage}.log"
      end = live(workdir, last=stage, log=log)
      if end.status:
        raise RuntimeError(f"The run that nothing disturbs failed: {end}")
      self.passed[stage] = log.read_text().splitlines()
      self._wanted[stage] = contents(workdir)
      self.seconds[stage] = end.seconds
      tell(
        f"{stage}: {end.seconds:.1f} s, {len(self.passed[stage])} failpoints"
      )

  def begin(self, stage: str) -> pathlib.Path:
    """Returns a new work folder, just before a stage."""
    self._made += 1
    workdir = self._folder / f"run{self._made}"
    start = self._folder / f"before_{stage}"
    if start.exists():
      shutil.copytree(start, workdir)
    return workdir

  def differences(self, workdir: pathlib.Path, last: str) -> list[str]:
    """Returns what differs from the run that nothing disturbed, by name.

    Args:
      workdir: Of a run that has ended.
      last: Its last stage.
    """
    found, wanted = contents(workdir), self._wanted[last]
    return sorted(
      name
      for name in found.keys() | wanted.keys()
      if found.get(name) != wanted.get(name)
    )

  def forget(self, workdir: pathlib.Path) -> None:
    """Removes a work folder."""
    shutil.rmtree(workdir)
    (self._folder / f"{workdir.name}.stderr").unlink(missing_ok=True)


def contents(workdir: pathlib.Path) -> dict[str, str]:
  """Returns hashes of all that a run left, by name.

  Of what has times in it, only what has none: of others nothing but that they
  are there. JAX is used in a child.
  """
  result = workdir.parent / f"{workdir.name}.contents"
  pid = os.fork()
  if not pid:
    try:
      result.write_text(json.dumps(_contents(workdir)))
      os._exit(0)
    finally:
      os._exit(1)
  _, status = os.waitpid(pid, 0)
  if status:
    return {"could not be read": str(workdir)}
  found = json.loads(result.read_text())
  result.unlink()
  return found


def _contents(workdir: pathlib.Path) -> dict[str, str]:
  found = {}
  for path in sorted(workdir.rglob("*")):
    name = str(path.relative_to(workdir))
    if path.is_dir():
      if path.parent.name == "checkpoints":
        found |= _checkpoint(path, name)
      continue
    if "/tensorboard/" in name or re.search(r"/checkpoints/\d+/", name):
      continue
    found[name] = _hash(_without_times(path))
  return found


def _without_times(path: pathlib.Path) -> Any:
  if path.name in ("PROGRESS.txt", "status.json", "index.html"):
    return path.stat().st_size > 0
  if path.name == "stages.json":
    stages = json.loads(path.read_text())
    return {
      name: [stage["status"], sorted(stage.get("outputs", {}))]
      for name, stage in stages.items()
    }
  if path.name == "config.json":
    return json.loads(path.read_text()) | {"compilation_cache_dir": None}
  if path.name == "metrics.jsonl":
    lines = map(json.loads, path.read_text().splitlines())
    return [_lasting(line) for line in lines]
  if path.name == "scores.json":
    return _lasting(json.loads(path.read_text()))
  return hashlib.sha256(path.read_bytes()).hexdigest()


def _lasting(values: dict[str, Any]) -> dict[str, Any]:
  return {k: v for k, v in values.items() if not _OF_THE_MACHINE.search(k)}


def _checkpoint(folder: pathlib.Path, name: str) -> dict[str, str]:
  """Hashes of a checkpoint's arrays, and of what its record says."""
  import orbax.checkpoint as ocp

  from magvit3d.checkpoints import record
  from magvit3d.checkpoints.checksums import leaves_by_path

  warnings.simplefilter("ignore")  # That devices may be others here.
  with ocp.PyTreeCheckpointer() as reader:
    state = reader.restore((folder / "state").absolute())
  found = {}
  for path, leaf in leaves_by_path(state).items():
    described = [leaf.dtype.name, list(leaf.shape)]
    content = hashlib.sha256(leaf.tobytes()).hexdigest()
    found[f"{name}/{path}"] = _hash([*described, content])
  said = record.read(folder)
  for key in ("step", "identity", "metrics", "iterator", "leaves"):
    found[f"{name} {key}"] = _hash(said[key])
  return found


def _hash(value: Any) -> str:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
