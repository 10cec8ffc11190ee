"""Work folders of small runs, to compare."""

import json
import pathlib

_MANIFEST = {
  "dataset": "traj3d",
  "seed": 3,
  "code_version": "0.1.0",
  "arguments": {"preset": "traj3d", "num_test": 96, "image_size": 32},
  "splits": {"train": {"num_scenes": 600}, "test": {"num_scenes": 96}},
}


def make_table(psnr, ade, n=96, split="test", copy=20.5, title="Predicted"):
  return {
    "title": title,
    "note": "One sample a clip.",
    "split": split,
    "n": n,
    "columns": ["", "PSNR, dB", "ADE, m", "perplexity"],
    "rows": [
      ["transformer", psnr, ade, 7.5],
      ["copy of the last frame", copy, 0.31, 1.0],
      ["floor: true frames", 100.0, 0.005, None],
    ],
    "baselines": ["copy of the last frame"],
  }


def make_run(
  workdir: pathlib.Path,
  tables,
  *,
  config=(),
  data_seed=3,
  loss=2.0,
  scalars=("train/loss", "validation/loss"),
  report=True,
):
  """Writes what a comparison reads."""
  check = {
    "name": "Foreground PSNR",
    "value": loss,
    "threshold": 1.5,
    "comparison": ">=",
    "passed": loss >= 1.5,
    "unit": "dB",
  }
  files = {
    "config.json": {
      "seed": 0,
      "train_transformer": {"batch_size": 8, "num_steps": 30},
    }
    | dict(config),
    "stages.json": {
      "transformer": {
        "status": "done",
        "seconds": 90.0,
        "energy": {"GPU 0 (Test)": {"joules": 7.2e6, "seconds": 90.0}},
      }
    },
    "data/manifest.json": _MANIFEST | {"seed": data_seed},
    "evaluation/scores.json": {
      "tables": tables,
      "checks": [check],
      "run": {
        "code": {"version": "0.1.0", "commit": "abc", "is_dirty": True},
        "tokens_per_clip": 64,
      },
    },
  }
  for name, content in files.items():
    path = workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
  (workdir / "transformer").mkdir()
  (workdir / "transformer" / "metrics.jsonl").write_text(
    "".join(
      json.dumps({"step": step, **dict.fromkeys(scalars, loss / step)}) + "\n"
      for step in (10, 20, 30)
    )
  )
  if report:
    (workdir / "report").mkdir()
    (workdir / "report" / "index.html").write_text("a report")
  return workdir
