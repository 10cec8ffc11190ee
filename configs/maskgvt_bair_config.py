"""Upstream's frame prediction on BAIR robot pushing: 1 frame given of 16.

Variants: B (default), L, and of each -runlocal (a few steps, small batches)
and -eval.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import upstream_base


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.VARIANTS`."""
  config = upstream_base.make_maskgvt(
    "maskgvt_bair_config", variant, upstream_base.BAIR, {"B": 400, "L": 800}
  )
  config.transformer.condition_mode = "cond->input"
  config.tasks.frame_prediction = task = mlc.ConfigDict()
  task.weight = 1.0
  task.cond_frames = optional(1)
  task.cond_latent_frames = optional(1)
  task.cond_padding = optional("edge")
  return config
