"""Upstream's class-conditional generation on UCF-101.

Variants: B (default), L, and of each -runlocal (a few steps, small batches)
and -eval.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import upstream_base


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.VARIANTS`."""
  config = upstream_base.make_maskgvt(
    "maskgvt_ucf101_config",
    variant,
    upstream_base.UCF101,
    {"B": 2000, "L": 2000},
  )
  config.tasks.full_generation = task = mlc.ConfigDict()
  task.weight = 1.0
  task.class_conditional = optional(True)
  return config
