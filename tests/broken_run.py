"""Small runs that are killed at random moments, beside one that is not.

Moments are drawn from a seed, but counted in steps of the run, so that slow
machines get on too. Both stages are trained with a checkpoint after every
step; data are rendered once.
"""

import dataclasses
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import shrunk

from magvit3d.data.batches import make_batches
from magvit3d.data.crops import Crop
from magvit3d.data.token_records import TokenSource
from magvit3d.run_data import RunData
from magvit3d.training import checkpoint_record
from magvit3d.training.checkpoint_checksums import leaves_by_path

STAGES = ("tokenizer", "transformer")
_PROGRAM = """
import json, pathlib, sys, shrunk
from magvit3d.experiment import Experiment
fields = json.loads(sys.argv[2])
Experiment(shrunk.make_config(**fields), pathlib.Path(sys.argv[1])).run()
"""
_MAX_STEPS = 3  # Of a life before it is killed.
_MAX_DELAY_S = 0.4  # After a step: also while the next ones are saved.
_POLL_S = 0.003
_NUM_BATCHES = 3  # That are compared after the last step.
# Metrics that are not the same twice.
_OF_THE_MACHINE = re.compile(r"time|second|wait|memory|flop|peak")
_UNFINISHED = ".orbax-checkpoint-tmp"


@dataclasses.dataclass(frozen=True)
class Kill:
  """Where a run was killed.

  Attributes:
    stage: That was trained.
    step: Last one that was logged.
    is_saving: Whether a checkpoint was half-written.
  """

  stage: str
  step: int
  is_saving: bool


class Runs:
  """Runs of one config on the same data.

  Args:
    folder: Holds their work folders.
    stages: To train.
    num_steps: Of each stage.
    cache: Folder of compiled programs, that runs share; None for none.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    *,
    stages: tuple[str, ...] = STAGES,
    num_steps: int = shrunk.NUM_STEPS,
    cache: str | None = None,
  ):
    self._folder = folder
    self.stages = stages
    self._cache = cache
    self._fields = {"stages": ",".join(stages)}
    for stage in STAGES:
      training = f"train_{stage}__"
      self._fields[training + "num_steps"] = num_steps
      self._fields[training + "checkpoint_every_steps"] = 1
    self._config = shrunk.make_config(**self._fields)
    data = folder / "data_alone"
    self._wait(self._start(data, stages="data"))

  def run(self, name: str) -> pathlib.Path:
    """Runs without a break; returns the work folder."""
    workdir = self._make_workdir(name)
    self._wait(self._start(workdir))
    return workdir

  def run_broken(
    self,
    name: str,
    num_kills: int,
    rng: np.random.Generator,
    tell: Callable[[str], None] = lambda line: None,
  ) -> tuple[pathlib.Path, list[Kill]]:
    """Runs, and is killed (SIGKILL) and started again; see `Kill`.

    The stages share the kills. Fewer than `num_kills` come back only if the
    run was done before.
    """
    workdir, kills = self._make_workdir(name), []
    for i in range(num_kills):
      started_s = time.time()
      process = self._start(workdir)
      num_steps = rng.integers(1, _MAX_STEPS, endpoint=True)
      delay_s = rng.uniform(0, _MAX_DELAY_S)
      stages = self.stages[i * len(self.stages) // num_kills :]
      while process.poll() is None:
        if len(_steps_since(workdir, stages, started_s)) >= num_steps:
          time.sleep(delay_s)
          process.kill()
          process.communicate()
          break
        time.sleep(_POLL_S)
      if process.returncode != -signal.SIGKILL:
        self._wait(process)
        return workdir, kills
      kills.append(self._describe(workdir, started_s))
      tell(f"killed: {kills[-1]}")
    self._wait(self._start(workdir))
    return workdir, kills

  def differences(self, wanted: pathlib.Path, found: pathlib.Path) -> list[str]:
    """Returns what differs between two runs, by name."""
    differing = []
    for stage in self.stages:
      a, b = self._contents(wanted, stage), self._contents(found, stage)
      differing += [
        f"{stage} {key}"
        for key in a | b
        if key not in a or key not in b or not _is_same(a[key], b[key])
      ]
    return differing

  def _make_workdir(self, name: str) -> pathlib.Path:
    workdir = self._folder / name
    shutil.copytree(self._folder / "data_alone" / "data", workdir / "data")
    return workdir

  def _start(self, workdir: pathlib.Path, **fields: Any) -> subprocess.Popen:
    environment = shrunk.make_environment()
    environment["PYTHONPATH"] += f":{shrunk.ROOT / 'tests'}"
    if self._cache:
      environment["JAX_COMPILATION_CACHE_DIR"] = self._cache
      environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    fields = json.dumps(self._fields | fields)
    return subprocess.Popen(
      [sys.executable, "-c", _PROGRAM, str(workdir), fields],
      cwd=shrunk.ROOT,
      env=environment,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )

  def _wait(self, process: subprocess.Popen) -> None:
    _, error = process.communicate()
    if process.returncode != 0:
      raise RuntimeError(f"A run failed:\n{error[-3000:]}")

  def _describe(self, workdir: pathlib.Path, started_s: float) -> Kill:
    stage, step = _steps_since(workdir, self.stages, started_s)[-1]
    unfinished = (workdir / stage / "checkpoints").glob(f"*{_UNFINISHED}*")
    return Kill(stage, step, any(unfinished))

  def _contents(self, workdir: pathlib.Path, stage: str) -> dict[str, Any]:
    """All that a stage left, by name; arrays, or JSON's values."""
    folder = workdir / stage / "checkpoints"
    step = max(int(path.name) for path in folder.iterdir() if path.is_dir())
    with ocp.StandardCheckpointer() as reader:
      state = reader.restore((folder / str(step) / "state").absolute())
    contents = {
      f"leaf {path}": np.asarray(leaf)
      for path, leaf in leaves_by_path(state).items()
    }
    record = checkpoint_record.read(folder / str(step))
    for key in ("step", "identity", "metrics", "iterator", "leaves"):
      contents[f"record {key}"] = record[key]
    for line in _read_lines(workdir / stage / "metrics.jsonl"):
      kept = {k: v for k, v in line.items() if not _OF_THE_MACHINE.search(k)}
      # A step that is logged twice is a difference.
      number = sum(key.startswith("metrics line") for key in contents)
      contents[f"metrics line {number}"] = kept
    batches = self._next_batches(workdir, stage, record["iterator"])
    for i, batch in enumerate(batches):
      contents |= {f"next batch {i} {key}": v for key, v in batch.items()}
    return contents

  def _next_batches(
    self, workdir: pathlib.Path, stage: str, place: dict[str, Any]
  ) -> Iterator[dict[str, np.ndarray]]:
    config = self._config
    if stage == "tokenizer":
      data = RunData(config["data"], config["input"], workdir)
      crop = Crop(**config["train_tokenizer"]["crop"])
      source = data.training_samples().cropped(crop).source
    else:
      folder = workdir / stage / "tokens"
      manifest = json.loads((folder / "manifest.json").read_text())
      source = TokenSource(folder, manifest["key"])
    batches = make_batches(
      source,
      batch_size=config[f"train_{stage}"]["batch_size"],
      seed=config["seed"],
      num_threads=1,
    )
    batches.set_state(place)
    yield from (next(batches) for _ in range(_NUM_BATCHES))
    batches.close()


def _steps_since(
  workdir: pathlib.Path, stages: tuple[str, ...], time_s: float
) -> list[tuple[str, int]]:
  """What was logged since a time: stages and steps."""
  return [
    (stage, line["step"])
    for stage in stages
    for line in _read_lines(workdir / stage / "metrics.jsonl")
    if line["time"] >= time_s
  ]


def _read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
  """Lines of a metrics.jsonl; the last one may be half-written."""
  try:
    lines = path.read_text().splitlines()
  except FileNotFoundError:
    return []
  found = []
  for line in lines:
    try:
      found.append(json.loads(line))
    except json.JSONDecodeError:
      continue
  return found


def _is_same(a: Any, b: Any) -> bool:
  """Whether values agree to the bit."""
  if not isinstance(a, np.ndarray | np.generic | jax.Array):
    return a == b
  a, b = np.asarray(a), np.asarray(b)
  return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
