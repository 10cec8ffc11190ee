"""Where scalars go: metrics.jsonl, TensorBoard, and Weights & Biases if asked.

Conventions: times are seconds since 1970; numbers that are not finite are null
in JSON and left out elsewhere.
"""

import importlib.util
import json
import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from data_gen.files import json_files
from magvit3d.errors import UserError
from magvit3d.files import atomic_file
from magvit3d.media.animations import encode_webp
from magvit3d.monitoring import event_files
from magvit3d.monitoring.best_effort import BestEffort
from magvit3d.monitoring.status_files import finite_or_none

_WANDB_FIELD = "config.monitoring.wandb_project"


class MetricWriters:
  """All writers of a stage; opened at its first step or at a resume.

  Args:
    workdir: Folder of the run.
    stage: Name of the stage and of its folder in `workdir`.
    step: Steps done; what lies after them is dropped, since the run that wrote
      it was killed past its last checkpoint, and these steps come again.
    wandb_project: Project of Weights & Biases; None: do without.
    document: The run's config, for Weights & Biases.
    best_effort: What to do where a file cannot be written.

  Raises:
    UserError: Weights & Biases was asked for and cannot be used.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    stage: str,
    step: int,
    wandb_project: str | None = None,
    document: Mapping[str, Any] | None = None,
    best_effort: BestEffort | None = None,
  ):
    self._best_effort = best_effort or BestEffort()
    folder = workdir / stage
    self._metrics_path = folder / "metrics.jsonl"
    self._samples = folder / "samples"
    self._wandb = None
    if wandb_project is not None:
      self._wandb = _start_wandb(workdir, stage, wandb_project, document or {})
    self._unwritten = b""
    self._kept: bytes | None = _lines_until(self._metrics_path, step)
    self._best_effort.attempt(self._write_metrics)
    self._tensorboard = event_files.open_writer(
      folder / "tensorboard", step + 1, self._best_effort
    )

  def write(self, step: int, time_s: float, values: dict[str, float]) -> None:
    """Writes the scalars of a step."""
    record = {"step": step, "time": time_s}
    record |= {name: finite_or_none(value) for name, value in values.items()}
    self._unwritten += json.dumps(record, allow_nan=False).encode() + b"\n"
    self._best_effort.attempt(self._write_metrics)
    finite = {name: v for name, v in values.items() if math.isfinite(v)}
    for name, value in finite.items():
      self._tensorboard.add_scalar(name, value, step, walltime=time_s)
    if self._wandb is not None:
      self._wandb.log(finite, step=step)

  def _write_metrics(self) -> None:
    """Writes the lines that are not written yet."""
    if self._kept is not None:
      content = self._kept + self._unwritten
      atomic_file.write_bytes(self._metrics_path, content)
    else:
      # Opened each time: nothing stays in a buffer when the run is killed.
      atomic_file.append(self._metrics_path, self._unwritten)
    self._kept, self._unwritten = None, b""

  def write_samples(
    self, step: int, time_s: float, frames: UInt8[np.ndarray, "t h w 3"]
  ) -> None:
    """Writes an animation into `samples`; TensorBoard gets its middle frame."""
    path = self._samples / f"{step:07d}.webp"
    picture = encode_webp(frames, lossless=True)
    self._best_effort.attempt(lambda: atomic_file.write_bytes(path, picture))
    self._tensorboard.add_image(
      "samples", frames[len(frames) // 2], step, time_s, dataformats="HWC"
    )

  def close(self, has_failed: bool = False) -> None:
    """Closes all."""
    self._tensorboard.close()
    if self._wandb is not None:
      self._wandb.finish(exit_code=int(has_failed))


def check_wandb(project: str | None) -> None:
  """Raises UserError if Weights & Biases is asked for and not installed."""
  if project is None:
    return
  if not project:
    raise UserError(
      f"{_WANDB_FIELD}='' is no name of a project; use None to do without."
    )
  if "wandb" not in sys.modules and not importlib.util.find_spec("wandb"):
    raise UserError(
      f"{_WANDB_FIELD}={project!r} needs the package wandb, which is not "
      f"installed: pip install wandb, or --{_WANDB_FIELD}=None."
    )


def _start_wandb(
  workdir: pathlib.Path, stage: str, project: str, document: Mapping[str, Any]
) -> Any:
  """Begins a run of Weights & Biases, or goes on with that of the folder."""
  check_wandb(project)
  import wandb

  path = workdir / stage / "wandb_run_id.txt"
  if path.exists():
    run_id = path.read_text().strip()
  else:
    run_id = wandb.util.generate_id()
    atomic_file.write_text(path, run_id + "\n")
  name = workdir.absolute().name
  try:
    return wandb.init(
      project=project,
      id=run_id,
      resume="allow",
      group=name,
      name=f"{name}/{stage}",
      dir=str(workdir),
      config=dict(document),
    )
  except Exception as error:
    raise UserError(
      f"{_WANDB_FIELD}={project!r}: Weights & Biases did not start "
      f"({error}). Log in with `wandb login`, set WANDB_MODE=offline, or use "
      f"--{_WANDB_FIELD}=None."
    ) from error


def _lines_until(path: pathlib.Path, step: int) -> bytes:
  """Returns the lines up to `step` of a metrics.jsonl; none where it is 0."""
  kept = []
  if step > 0 and path.is_file():
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
      try:
        record = json_files.parse(line.encode())
      except json_files.JsonError:
        continue  # The process was killed while it wrote this line.
      found = record.get("step")
      if isinstance(found, int) and found <= step:
        kept.append(line + "\n")
  return "".join(kept).encode("utf-8", "backslashreplace")
