"""Folders of clips to a file of scores: `python -m magvit3d.video_metrics`."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from magvit3d.data.videos.clip_folder import ClipFolder
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation.published import metrics
from magvit3d.evaluation.published.metrics import Entry
from magvit3d.evaluation.published.networks import MetricNetworks, WeightPaths
from magvit3d.files import atomic_file, output_file
from magvit3d.parallel import sharding

_LOG_INTERVAL_S = 10


@dataclasses.dataclass(frozen=True)
class Request:
  """What is scored; the fields are the command's flags."""

  real: pathlib.Path
  generated: pathlib.Path
  output: pathlib.Path
  i3d_weights: str | None = None
  c3d_weights: str | None = None
  lpips_weights: Sequence[str] | None = None
  num_frames: int = 16
  frame_stride: int = 1
  image_size: int | None = None
  batch_size: int = 8
  inception_parts: int = 1


def score(
  request: Request,
  code_version: Mapping[str, Any],
  log: Callable[[str], None] = lambda line: None,
) -> list[Entry]:
  """Scores the clips and writes the output.

  Args:
    request: What is scored.
    code_version: Written beside the scores.
    log: Is told now and then how far the work is.

  Raises:
    UserError: Something is wrong with flags or weights; nothing is written.
    DataError: The clips cannot be read; nothing is written.
  """
  _check_flags(request)
  if request.output.suffix != ".json":
    raise UserError(f"--output={request.output} must end in .json.")
  output_file.check(request.output)
  mesh = sharding.make_mesh()
  networks = MetricNetworks(
    WeightPaths(
      request.i3d_weights, request.c3d_weights, request.lpips_weights
    ),
    sharding.divisible_batch_size(request.batch_size, mesh),
    mesh,
  )
  real, generated = (
    ClipFolder(
      folder,
      flag,
      num_frames=request.num_frames,
      frame_stride=request.frame_stride,
      image_size=request.image_size,
    )
    for folder, flag in (
      (request.real, "--real"),
      (request.generated, "--generated"),
    )
  )
  sizes = [folder.framing.image_size for folder in (real, generated)]
  if sizes[0] != sizes[1]:
    raise UserError(
      f"--real has frames of {sizes[0]} pixels, --generated of {sizes[1]}. "
      "Give --image_size, to which both are then scaled."
    )
  networks.check_clips(
    len(real), len(generated), (request.num_frames, sizes[0], sizes[0], 3)
  )
  real_of = _pairs(real, generated) if networks.lpips else None
  watch = _Watch(log, _num_reads(networks, len(real), len(generated)))
  with as_user_errors(ValueError):
    entries = metrics.score(
      networks,
      _Watched(real, watch),
      _Watched(generated, watch),
      real_of=real_of,
      num_parts=request.inception_parts,
      log=log,
    )
  content = _describe(request, real, generated, entries)
  content["code_version"] = dict(code_version)
  text = json.dumps(content, indent=2, allow_nan=False) + "\n"
  try:
    atomic_file.write_text(request.output, text)
  except OSError as error:
    raise output_file.not_writable(request.output, error) from error
  return entries


def to_text(entries: Sequence[Entry]) -> str:
  """Returns the scores as a table."""
  columns = metrics.COLUMNS
  lines = [f"{columns[0]:<28}" + "".join(f"{c:>22}" for c in columns[1:])]
  for name, *values in metrics.table_rows(entries):
    lines.append(f"{name:<28}" + "".join(f"{v:>22.5g}" for v in values))
  lines += [f"{entry.metric}: {entry.note}" for entry in entries]
  return "\n".join(lines)


def _check_flags(request: Request) -> None:
  if not (request.i3d_weights or request.c3d_weights or request.lpips_weights):
    raise UserError(
      "There are no weights to score with: give --i3d_weights (Frechet video "
      "distance), --c3d_weights (inception score) or --lpips_weights. A random "
      "network's distances mean nothing, so none takes their place. How to "
      "bring weights: docs/video_metrics.md. Scores that need none: "
      "docs/scores.md."
    )
  if request.lpips_weights and len(request.lpips_weights) > 2:
    raise UserError(
      f"--lpips_weights names {len(request.lpips_weights)} files; give one, or "
      "the backbone's and that of the linear layers."
    )
  for name in (
    "num_frames",
    "frame_stride",
    "image_size",
    "batch_size",
    "inception_parts",
  ):
    value = getattr(request, name)
    if value is not None and value < 1:
      raise UserError(f"--{name}={value} must be 1 or more.")


def _pairs(real: ClipFolder, generated: ClipFolder) -> list[int]:
  """Returns the number of the real clip of each generated one."""
  numbers = {name: i for i, name in enumerate(real.names)}
  lacking = [name for name in generated.names if name not in numbers]
  if lacking:
    raise UserError(
      f"--generated has {lacking[0]} (and {len(lacking) - 1} more) that --real "
      "has not. LPIPS compares clips of the same name: name the generated "
      "clips after the real ones, or leave out --lpips_weights."
    )
  for name, length in zip(generated.names, generated.lengths, strict=True):
    other = real.lengths[numbers[name]]
    if length != other:
      raise UserError(
        f"{name} has {other} frames in --real and {length} in --generated, so "
        "it is not known which of them LPIPS should compare. Cut both to the "
        "same length, or leave out --lpips_weights."
      )
  return [numbers[name] for name in generated.names]


def _describe(
  request: Request,
  real: ClipFolder,
  generated: ClipFolder,
  entries: Sequence[Entry],
) -> dict[str, Any]:
  devices = jax.devices()
  return {
    "n_real": len(real),
    "n_generated": len(generated),
    "metrics": {
      entry.metric: {
        name: value
        for name, value in dataclasses.asdict(entry).items()
        if name != "metric"
      }
      for entry in entries
    },
    "num_frames": request.num_frames,
    "frame_stride": request.frame_stride,
    "image_size": real.framing.image_size,
    "frames": "the middle window of each video; of each frame the largest "
    "square in the middle",
    "real": str(request.real),
    "generated": str(request.generated),
    "real_fingerprint": real.fingerprint,
    "generated_fingerprint": generated.fingerprint,
    "devices": f"{len(devices)} x {devices[0].device_kind}",
  }


def _num_reads(
  networks: MetricNetworks, num_real: int, num_generated: int
) -> int:
  """How many clips `metrics.score` reads."""
  whole = (networks.i3d is not None) + (networks.c3d is not None)
  pairs = 4 if networks.lpips else 0
  return whole * (2 * num_real + num_generated) + pairs * num_generated


class _Watch:
  """Tells now and then how many clips were read."""

  def __init__(self, log: Callable[[str], None], total: int):
    self._log, self._total = log, total
    self._count, self._told_s = 0, time.monotonic()

  def add(self, count: int) -> None:
    """Counts clips."""
    self._count += count
    if time.monotonic() - self._told_s >= _LOG_INTERVAL_S:
      share = min(self._count / self._total, 1)
      self._log(f"{share:.0%} of the clips are read.")
      self._told_s = time.monotonic()


@dataclasses.dataclass(frozen=True)
class _Watched:
  """Clips that are counted when they are read."""

  clips: ClipFolder
  watch: _Watch

  def __len__(self) -> int:
    return len(self.clips)

  def __getitem__(self, rows: slice) -> np.ndarray:
    found = self.clips[rows]
    self.watch.add(len(found))
    return found
