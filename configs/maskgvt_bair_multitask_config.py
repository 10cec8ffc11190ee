"""Upstream's eight tasks at once on BAIR robot pushing.

Variants: B (default) and L.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import upstream_base

_REGIONS = {
  "outpainting_h": "rectangle_horizontal",
  "outpainting_v": "rectangle_vertical",
  "outpainting_c": "rectangle_central",
  "outpainting_dv": "dynamic_vertical",
  "inpainting_c": "rectangle_central",
  "inpainting_dv": "dynamic_central",
}


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.SIZES`."""
  config = upstream_base.make_maskgvt(
    "maskgvt_bair_multitask_config",
    variant,
    upstream_base.BAIR,
    {"B": 1200, "L": 1600},
    known=upstream_base.SIZES,
  )
  config.transformer.condition_mode = "cond->input"
  config.transformer.multi_task = True
  for name in ("frame_prediction", "frame_interpolation"):
    config.tasks[name] = task = mlc.ConfigDict()
    task.weight = 1.0
    task.cond_frames = optional(1)
    task.cond_latent_frames = optional(1)
  for name, region in _REGIONS.items():
    config.tasks[name] = task = mlc.ConfigDict()
    task.weight = 1.0
    task.cond_region = optional(region)
  return config
