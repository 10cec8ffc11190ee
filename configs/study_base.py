"""What configs of studies have in common."""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional
from ml_collections.config_dict import placeholder

from configs import traj3d

# Sections and fields that studies of such scenes share.
_OF_STUDIES = (
  "seed",
  "matmul_precision",
  "compilation_cache_dir",
  "mesh",
  "max_skipped_steps",
  "data",
  "num_reading_threads",
  "num_reading_workers",
  "checkpoints",
  "monitoring",
)
# Of those that train a tokenizer of their own.
_OF_TOKENIZERS = (
  "vqvae",
  "discriminator",
  "vqgan",
  "train_tokenizer",
  "init_from",
)


def make(variant: str, *, trains_tokenizer: bool = False) -> mlc.ConfigDict:
  """Returns what a study of the scenes of `traj3d.py:VARIANT` starts from."""
  config = traj3d.get_config(variant)
  kept = _OF_STUDIES + _OF_TOKENIZERS * trains_tokenizer
  for name in list(config):
    if name not in kept:
      del config[name]
  return config


def make_training() -> mlc.ConfigDict:
  """Returns how a network of a study is trained, on a GPU."""
  training = mlc.ConfigDict()
  training.batch_size = 32  # Scenes or clips, over all devices.
  training.gradient_accumulation_steps = 1
  training.num_epochs = 20.0
  training.num_steps = placeholder(int)
  training.learning_rate = 3e-4
  training.warmup_steps = 500
  training.optimizer = mlc.ConfigDict()
  training.optimizer.name = "adamw"
  training.optimizer.muon_rate = 10.0
  training.optimizer.muon_beta = 0.95
  training.optimizer.beta1 = 0.9
  training.optimizer.beta2 = 0.999
  training.optimizer.weight_decay = 0.01
  training.optimizer.max_grad_norm = optional(1.0)
  training.log_every_steps = 100
  training.validate_every_steps = 1000
  training.checkpoint_every_steps = 1000
  training.best_metric = placeholder(str)
  training.num_validation_clips = 480
  return training


def shorten(
  training: mlc.ConfigDict,
  num_steps: int,
  *,
  batch_size: int,
  validate_every: int,
  num_validation_clips: int,
) -> None:
  """Makes `make_training`'s a short one, for two CPU cores."""
  training.num_steps = num_steps
  training.batch_size = batch_size
  # Measured: in so few steps Muon learns much more, docs/extractors.md.
  training.optimizer.name = "muon"
  training.learning_rate = 2e-3
  training.warmup_steps = training.log_every_steps = 50
  training.validate_every_steps = validate_every
  training.checkpoint_every_steps = validate_every
  training.best_metric = None
  training.num_validation_clips = num_validation_clips
