"""One transformer that sees a moving object from several cameras.

As `traj3d.py`, of whose variants it has `:tiny`, `:S` and `:B` (default); the
tokenizer is the same, and the transformer's sequences are the clips of all
cameras of a scene:

  python -m magvit3d.main --config=configs/traj3d_multiview.py

See docs/multiview.md for its tasks.
"""

import copy

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import traj3d, variant_base

VARIANTS = ("tiny", "S", "B")


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("traj3d_multiview", variant, VARIANTS)
  config = traj3d.get_config(variant)
  config.experiment_name = f"traj3d_multiview_{variant}"
  transformer = config.transformer
  transformer.num_views = 3
  transformer.camera_embedding = "rays"
  # In turn by weight; a task's steps are its share of the sum.
  tasks = config.tasks
  tasks.full_generation.weight = 1.0
  tasks.frame_prediction.weight = 1.0
  tasks.view_prediction = task = mlc.ConfigDict()
  task.weight = 1.0
  task.class_conditional = optional(False)
  task.num_given_views = optional(1)  # At random in training.
  tasks.view_frame_prediction = task = copy.deepcopy(tasks.frame_prediction)
  task.num_given_views = optional(
    1
  )  # Whole; of the others the first `cond_frames`.
  config.maskgvt.mask_type = "random,view,tube,block,frame"
  config.maskgvt.mask_block_shape = (1, 4, 4)
  if variant == "tiny":
    config.maskgvt.mask_block_shape = (1, 2, 2)
    config.train_transformer.batch_size = 24  # 8 scenes of 3 cameras.
    config.train_transformer.num_steps = 1700
  else:
    transformer.remat = True
  return config
