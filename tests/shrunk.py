"""The tiny variant shrunk to seconds, for tests of whole runs."""

import copy
import os
import pathlib
import subprocess
import sys
from typing import Any

from configs import traj3d, traj3d_multiview

ROOT = pathlib.Path(__file__).resolve().parent.parent
NUM_STEPS = 6

_FIELDS = {
  "data.num_train": 8,
  "data.num_validation": 4,
  "data.num_test": 4,
  "data.image_size": 24,
  # Objects that are seen in so few pixels, and stay in sight.
  "data.size_min": 4.0,
  "data.size_max": 6.5,
  "data.path_scale_min": 0.35,
  "data.path_scale_max": 0.6,
  "data.num_frames": 8,
  "data.scenes_per_shard": 4,
  "data.num_workers": 1,
  "data.preview": 0,
  "num_reading_threads": 1,
  "vqvae.filters": 8,
  "vqvae.channel_multipliers": (1, 2),
  "vqvae.temporal_downsample": (True,),
  "vqvae.norm_type": "GN",
  "vqvae.num_groups": 4,
  "vqvae.codebook_size": 32,
  "vqvae.embedding_dim": 8,
  "discriminator.filters": 8,
  "discriminator.channel_multipliers": (2, 2),
  "discriminator.num_groups": 4,
  "vqgan.discriminator_start_step": 4,
  "vqgan.quantizer_start_step": 2,
  "vqgan.codebook_init_clips": 2,
  "vqgan.dead_code_reset_steps": 2,
  "train_tokenizer.batch_size": 4,
  "train_tokenizer.crop.num_frames": 4,
  "train_tokenizer.crop.size": 12,
  "train_tokenizer.optimizer.name": "adamw",  # Compiles faster.
  "train_transformer.batch_size": 4,
  "train_transformer.optimizer.name": "adamw",
  "transformer.num_layers": 1,
  "transformer.hidden_size": 32,
  "transformer.mlp_dim": 64,
  "transformer.num_heads": 2,
  "tasks.frame_prediction.cond_frames": 4,
  "maskgvt.sampling.mask_bins": 3,
  "evaluation.batch_size": 4,
  "evaluation.num_clips": 6,
  "evaluation.num_shown_clips": 2,
  "evaluation.num_samples_per_class": 2,
  "evaluation.num_shown_samples_per_class": 1,
  "evaluation.num_probe_scenes": 8,
  "evaluation.num_probe_steps": 3,
  "evaluation.num_classifier_steps": 3,
  "oracle_gate": False,
}
for _stage in ("train_tokenizer", "train_transformer"):
  _FIELDS |= {
    f"{_stage}.num_steps": NUM_STEPS,
    f"{_stage}.warmup_steps": 2,
    f"{_stage}.log_every_steps": 1,
    f"{_stage}.validate_every_steps": 3,
    f"{_stage}.checkpoint_every_steps": 2,
    f"{_stage}.num_validation_clips": 3,
  }

# Besides, of a run whose transformer sees scenes of three cameras.
_SCENE_FIELDS = {
  "train_transformer.batch_size": 6,
  "evaluation.batch_size": 6,
  "tasks.view_frame_prediction.cond_frames": 4,
  "maskgvt.mask_block_shape": (1, 2, 2),
}


def make_config(experiment: Any = traj3d, **fields: Any) -> dict[str, Any]:
  """Returns the config; `section__field` of `fields` overrides it.

  `experiment` is a module of configs/.
  """
  config = experiment.get_config("tiny")
  changes = {key.replace("__", "."): value for key, value in fields.items()}
  with config.unlocked():
    config.update_from_flattened_dict(_FIELDS | changes)
  return copy.deepcopy(config.to_dict())


def make_scenes_config(**fields: Any) -> dict[str, Any]:
  """Returns the same of configs/traj3d_multiview.py."""
  changes = {key.replace(".", "__"): v for key, v in _SCENE_FIELDS.items()}
  return make_config(traj3d_multiview, **(changes | fields))


def make_arguments(**fields: Any) -> list[str]:
  """Returns what `main` is called with for the same config."""
  changes = {key.replace("__", "."): value for key, value in fields.items()}
  return ["--config=configs/traj3d.py:tiny"] + [
    f"--config.{key}={value}" for key, value in (_FIELDS | changes).items()
  ]


def run_main(
  *arguments: str, num_devices: int | None = None
) -> subprocess.CompletedProcess:
  """Calls `python -m magvit3d.main` in the checkout."""
  return subprocess.run(
    [sys.executable, "-m", "magvit3d.main", *arguments],
    cwd=ROOT,
    env=make_environment(num_devices),
    capture_output=True,
    text=True,
    timeout=300,
  )


def make_environment(num_devices: int | None = None) -> dict[str, str]:
  """Returns an environment in which JAX sees some CPU devices."""
  environment = dict(os.environ, JAX_PLATFORMS="cpu", PYTHONPATH=str(ROOT))
  if num_devices is not None:
    flags = environment.get("XLA_FLAGS", "")
    environment["XLA_FLAGS"] = (
      f"{flags} --xla_force_host_platform_device_count={num_devices}"
    )
  return environment


def read_times(folder: pathlib.Path) -> dict[pathlib.Path, int]:
  """Returns when each file below `folder` was changed last."""
  return {
    path: path.stat().st_mtime_ns
    for path in folder.rglob("*")
    if path.is_file()
  }
