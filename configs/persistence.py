"""Which objects stay, and which pass: told from tokens, frame by frame.

  python -m magvit3d.main --config=configs/persistence.py:tiny

Two solids move and two stand still for a whole clip; four more live one to
three frames. A causal transformer says of each whether it stays; see
docs/persistence.md. Variants: `:tiny` (two CPU cores, ten minutes),
`:B` (default, a GPU).
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import study_base, variant_base

VARIANTS = ("tiny", "B")


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("persistence", variant, VARIANTS)
  config = study_base.make(variant)
  config.experiment_name = f"persistence_{variant}"
  config.stages = "data,persistence,evaluate,report"
  data = config.data
  data.num_train, data.num_validation, data.num_test = 12000, 500, 2000
  data.camera_rig = "2,0,1"  # Others would show the same objects again.
  # As many that stay as pass. Of those that stay half move, as all that pass
  # do: motion alone does not tell.
  data.num_objects, data.num_clutter, data.num_transients = 2, 2, 4
  # The frozen tokenizer: a model that comes with the package, the --workdir of
  # a run, or a folder of save_pretrained.
  config.pretrained = optional("runs/traj3d_B")

  config.persistence = persistence = mlc.ConfigDict()
  persistence.width = 256
  persistence.num_layers = 4
  persistence.num_heads = 8
  persistence.shuffled_labels = False  # A control.
  persistence.confidences = (0.9, 0.99)  # At which is answered early.
  persistence.split = "test"  # That is scored.
  persistence.eval_batch_size = 48  # Clips.
  # Targets that the report checks; None: not checked.
  persistence.min_f1 = optional(0.95)
  persistence.min_attention_ratio = optional(2.0)

  config.train_persistence = training = study_base.make_training()
  training.best_metric = "min:validation/loss"
  if variant == "tiny":
    _make_tiny(config)
  return config


def _make_tiny(config: mlc.ConfigDict) -> None:
  """Fewer scenes of the size of `configs/traj3d.py:tiny`, a smaller network."""
  data = config.data
  data.num_train, data.num_validation, data.num_test = 1000, 80, 300
  data.size_min, data.size_max = 2.0, 3.0  # Smaller: eight must find room.
  config.pretrained = "traj3d-tiny"
  persistence = config.persistence
  persistence.width = 64
  persistence.num_layers = 2
  persistence.num_heads = 4
  study_base.shorten(
    config.train_persistence,
    num_steps=500,
    batch_size=16,
    validate_every=100,
    num_validation_clips=80,
  )
