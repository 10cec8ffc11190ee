"""Learning curves and speed of a run in float32 and in bfloat16.

  python benchmarks/precision.py --workdir=runs/precision \\
    --config=configs/traj3d.py:tiny

Trains tokenizer and transformer twice, with the same seed and data, in
`--workdir`/float32 and /bfloat16, and prints both beside each other as
Markdown. Further arguments go to `magvit3d.main`. What is trained already is
not trained again; `--notrain` only prints. Training losses are means over the
logs since the row before, validation scores the newest; the time of a step is
the median of the logs. docs/precision.md has what came out.
"""

import itertools
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data_gen.files import user_paths  # noqa: E402
from magvit3d.monitoring.metrics_file import read_metrics  # noqa: E402

_WORKDIR = flags.DEFINE_string("workdir", "runs/precision", "Of both runs.")
_CONFIG = flags.DEFINE_string(
  "config", "configs/traj3d.py:tiny", "What is trained."
)
_TRAIN = flags.DEFINE_boolean("train", True, "Whether to train first.")
_NUM_ROWS = flags.DEFINE_integer("num_rows", 6, "Of a table.", lower_bound=1)

_DTYPES = ("float32", "bfloat16")
_METRICS = {
  "tokenizer": (
    "train/reconstruction_loss",
    "train/quantizer_loss",
    "validation/foreground_psnr",
    "validation/foreground_perplexity",
  ),
  "transformer": (
    "train/loss",
    "train/masked_accuracy",
    "validation/full_generation/masked_error",
    "validation/frame_prediction/masked_error",
  ),
}


def main(argv: list[str]) -> int:
  """Trains and prints; returns the exit status."""
  workdir = user_paths.read(_WORKDIR.value).absolute()
  if _TRAIN.value:
    for dtype in _DTYPES:
      if _train(workdir, dtype, argv[1:]):
        return 1
  for stage, metrics in _METRICS.items():
    runs = [
      read_metrics(workdir / dtype / stage / "metrics.jsonl")
      for dtype in _DTYPES
    ]
    if not all(runs):
      print(f"{workdir} has no metrics of the stage {stage} in both types.")
      return 1
    _print_table(stage, metrics, runs)
  return 0


def _train(workdir: pathlib.Path, dtype: str, more: list[str]) -> int:
  command = [
    *(sys.executable, "-m", "magvit3d.main", f"--config={_CONFIG.value}"),
    *("--config.stages=data,tokenizer,transformer", f"--config.dtype={dtype}"),
    f"--workdir={workdir / dtype}",
    *more,
  ]
  if dtype != _DTYPES[0]:
    command.append(f"--config.data.data_dir={workdir / _DTYPES[0] / 'data'}")
  return subprocess.run(command, cwd=ROOT).returncode


def _print_table(stage, metrics, runs) -> None:
  last = min(records[-1]["step"] for records in runs)
  ends = [last * row // _NUM_ROWS.value for row in range(_NUM_ROWS.value + 1)]
  print(f"\n{stage}: {', '.join(_DTYPES)}\n")
  print(f"| step | {' | '.join(metrics)} |")
  print("|---" * (1 + len(metrics)) + "|")
  for start, end in itertools.pairwise(ends):
    cells = [_cell(metric, runs, start, end) for metric in metrics]
    print(f"| {end} | {' | '.join(cells)} |")
  times = [_values(records, "train/step_time_s", 0, last) for records in runs]
  print(f"\nStep: {', '.join(f'{statistics.median(t):.3g} s' for t in times)}.")


def _cell(metric, runs, start, end) -> str:
  shown = []
  for records in runs:
    values = _values(records, metric, start, end)
    if metric.startswith("train/"):
      values = [statistics.fmean(values)] if values else []
    shown.append(f"{values[-1]:.3g}" if values else "-")
  return ", ".join(shown)


def _values(records, metric, start, end) -> list[float]:
  """What was logged after step `start`, up to `end`; finite values alone."""
  return [
    record[metric]
    for record in records
    if start < record["step"] <= end and record.get(metric) is not None
  ]


if __name__ == "__main__":
  app.run(main)
