"""One of the runs of the step `bits`: prints checksums of all leaves as JSON.

  python -m benchmarks.gpu.short_run WORKDIR unbroken|again|resumed|data STEPS
    IS_SMALL

The data are in the folder data_alone/data beside the work folder; 'data' makes
them.
"""

import json
import pathlib
import sys
import time
from typing import Any

import jax

from benchmarks import programs
from configs import traj3d
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.experiment import Experiment
from magvit3d.training.loop import Interrupted

STAGES = ("tokenizer", "transformer")
# Networks that are compiled soon, of widths that fast kernels take.
_FIELDS = programs.SHRUNK | {
  "vqvae.filters": 16,
  "vqvae.embedding_dim": 32,
  "discriminator.filters": 16,
  "transformer.num_layers": 2,
  "transformer.hidden_size": 128,
  "transformer.mlp_dim": 512,
  "data.num_train": 24,
  "data.num_validation": 8,
  "data.num_test": 8,
  "data.scenes_per_shard": 8,
  "data.preview": 0,
  "train_tokenizer.batch_size": 8,
  "oracle_gate": False,
}


def main(workdir: pathlib.Path, life: str, num_steps: int, is_small: bool):
  """Runs; prints the result."""
  start = time.monotonic()
  config = _make_config(workdir, num_steps, is_small)
  if life == "data":
    config["data"]["data_dir"] = None
    config["stages"] = "data"
    Experiment(config, workdir).run()
    print(json.dumps({"seconds": time.monotonic() - start}))
    return
  cache = str(workdir.with_name(f"{workdir.name}_compiled"))
  jax.config.update("jax_compilation_cache_dir", cache)
  for stage in STAGES if life == "resumed" else ():
    try:
      stop = (stage, num_steps // 2)
      Experiment(config, workdir, stop_after=stop).run()
    except Interrupted:
      continue
    raise RuntimeError(f"{stage} did not stop.")
  Experiment(config, workdir).run()
  leaves = {}
  for stage in STAGES:
    leaves |= _checksums(workdir / stage / "checkpoints", stage)
  print(json.dumps({"seconds": time.monotonic() - start, "leaves": leaves}))


def _make_config(
  workdir: pathlib.Path, num_steps: int, is_small: bool
) -> dict[str, Any]:
  config = traj3d.get_config("tiny")
  fields = dict(_FIELDS)
  if is_small:
    fields |= programs.SHRUNK | {"train_tokenizer.batch_size": 2}
  fields["stages"] = "tokenizer,transformer"
  fields["data.data_dir"] = str(workdir.parent / "data_alone" / "data")
  for stage in STAGES:
    section = f"train_{stage}"
    fields |= {
      f"{section}.num_steps": num_steps,
      f"{section}.warmup_steps": 1,
      f"{section}.log_every_steps": num_steps,
      f"{section}.validate_every_steps": num_steps,
      f"{section}.checkpoint_every_steps": num_steps,
      f"{section}.num_validation_clips": 2,
    }
  # Quantizer and discriminator begin on the way.
  fields |= {
    "vqgan.quantizer_start_step": num_steps // 3,
    "vqgan.discriminator_start_step": num_steps // 3,
    "vqgan.codebook_init_clips": 4,
    "vqgan.dead_code_reset_steps": max(1, num_steps // 3),
  }
  with config.unlocked():
    config.update_from_flattened_dict(fields)
  return config.to_dict()


def _checksums(folder: pathlib.Path, stage: str) -> dict[str, int]:
  """Of the leaves of the newest checkpoint, as it was saved."""
  step = max(int(path.name) for path in folder.iterdir() if path.is_dir())
  record = checkpoint_record.read(folder / str(step))
  return {
    f"{stage} {path}": leaf["checksum"]
    for path, leaf in record["leaves"].items()
  }


if __name__ == "__main__":
  main(
    pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1"
  )
