"""Four feature extractors, asked for motion and path of the same scenes.

  python -m magvit3d.main --config=configs/extractors.py:tiny

Each sees the first 8 of 16 frames, of one camera or all, and tells the class of
the motion and the path; see docs/extractors.md. Variants: `:tiny` (two CPU
cores, 15 minutes), `:B` (default, a GPU).
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import study_base, variant_base

VARIANTS = ("tiny", "B")


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("extractors", variant, VARIANTS)
  config = study_base.make(variant)
  config.experiment_name = f"extractors_{variant}"
  config.stages = "data,frames,i3d,slowfast,magvit,evaluate,report"
  data = config.data
  # Stratified, 60/20/20.
  data.num_train, data.num_validation, data.num_test = 6480, 2160, 2160
  # The frozen tokenizer: a model that comes with the package, the --workdir of
  # a run, or a folder of save_pretrained.
  config.pretrained = optional("runs/traj3d_B")

  config.extractors = extractors = mlc.ConfigDict()
  extractors.names = "frames,i3d,slowfast,magvit"
  extractors.given_frames = 8
  extractors.features = mlc.ConfigDict()  # Of a frame, or of several.
  extractors.features.frames = 512  # Convolutions, then a transformer.
  extractors.features.i3d = 1024  # Inception in 3D.
  extractors.features.slowfast = 2048  # Few frames, and all.
  extractors.features.magvit = 256  # Codes of the frozen tokenizer.
  extractors.channel_share = 1.0
  extractors.slowfast_blocks = (3, 4, 6, 3)
  extractors.width = 128
  extractors.num_layers = 2
  extractors.num_heads = 4
  extractors.pooling = "attention"  # Or 'mean'.
  extractors.hidden_size = 256
  extractors.dropout_rate = 0.0
  extractors.shuffled_labels = False  # A control.
  extractors.position_weight = 10.0
  extractors.split = "test"  # That is scored.
  extractors.eval_batch_size = 48  # Scenes.
  # Targets that the report checks; None: not checked.
  extractors.min_accuracy = optional(0.95)
  extractors.min_class_accuracy = optional(0.9)
  extractors.positions_below_constant_velocity = True

  config.train_extractors = training = study_base.make_training()
  training.num_epochs = 60.0
  training.best_metric = "max:validation/accuracy"
  training.num_validation_clips = 500  # Scenes.
  if variant == "tiny":
    _make_tiny(config)
  return config


def _make_tiny(config: mlc.ConfigDict) -> None:
  """The scenes of `configs/traj3d.py:tiny`, smaller networks, few minutes."""
  data = config.data
  data.num_train, data.num_validation, data.num_test = 2592, 864, 864
  config.pretrained = "traj3d-tiny"
  extractors = config.extractors
  extractors.features.frames = 128
  extractors.features.i3d = 128
  extractors.features.slowfast = 128
  extractors.features.magvit = 96
  extractors.channel_share = 0.25
  extractors.slowfast_blocks = (1, 1, 1, 1)
  extractors.width = 32
  extractors.hidden_size = 256
  study_base.shorten(
    config.train_extractors,
    num_steps=2200,
    batch_size=16,
    validate_every=300,
    num_validation_clips=192,
  )
  # Measured: at twice the rate positions are less exact, docs/extractors.md.
  config.train_extractors.learning_rate = 1e-3
