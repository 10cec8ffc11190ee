"""What is brought back of a run: scores, curves, and files in pieces."""

import json
import pathlib
import tarfile
from typing import Any

from magvit3d.api import Magvit
from magvit3d.monitoring.metrics_file import read_metrics

_PIECE_BYTES = 15 * 2**20  # Of 16 MiB that a file may have.
_MAX_CURVE_POINTS = 60
_CURVES = {
  "tokenizer": (
    "train/reconstruction_loss",
    "train/step_time_s",
    "validation/foreground_psnr",
  ),
  "transformer": (
    "train/loss",
    "train/masked_accuracy",
    "train/step_time_s",
    "validation/full_generation/masked_error",
    "validation/frame_prediction/masked_error",
  ),
}
# Small files that tell of a run; what is missing is left out.
_TOLD = (
  "config.json",
  "stages.json",
  "PROGRESS.txt",
  "evaluation/scores.json",
  "tokenizer/metrics.jsonl",
  "transformer/metrics.jsonl",
  "report",
)


def scores(run: pathlib.Path) -> dict[str, Any]:
  """Returns what evaluation wrote, without what it wrote of each clip."""
  content = json.loads((run / "evaluation" / "scores.json").read_text())
  return {
    key: value
    for key, value in content.items()
    if len(json.dumps(value, default=str)) < 100_000
  }


def curves(run: pathlib.Path) -> dict[str, Any]:
  """Returns some metrics of both stages against the steps."""
  found = {}
  for stage, names in _CURVES.items():
    records = read_metrics(run / stage / "metrics.jsonl")
    for name in names:
      points = [
        (record["step"], record[name])
        for record in records
        if record.get(name) is not None
      ]
      every = max(1, len(points) // _MAX_CURVE_POINTS)
      found[f"{stage}/{name}"] = points[::-every][::-1]
  return found


def pack(run: pathlib.Path, output: pathlib.Path) -> dict[str, Any]:
  """Writes the run into run.tar.00, ...; `cat run.tar.* | tar x` unpacks them.

  Scores, curves and report come first: they can be read from the first piece
  alone. The networks are as `Magvit.save_pretrained` writes them.

  Returns:
    Sizes of the pieces, by name.
  """
  path = run / "run.tar"
  networks = run / "networks"
  reason = None
  try:
    Magvit.from_run(run).save_pretrained(networks)
  except Exception as error:  # A run may end before it has networks.
    reason = str(error)
  with tarfile.open(path, "w") as tar:
    for name in (*_TOLD, "networks"):
      if (run / name).exists():
        tar.add(run / name, f"run/{name}")
  sizes = {}
  with path.open("rb") as file:
    while piece := file.read(_PIECE_BYTES):
      name = f"run.tar.{len(sizes):02}"  # In the order of `cat`.
      (output / name).write_bytes(piece)
      sizes[name] = len(piece)
  return {"pieces": sizes, "networks_missing": reason}
