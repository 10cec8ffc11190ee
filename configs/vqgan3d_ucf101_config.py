"""Upstream's 3D tokenizer of UCF-101, 128 pixels.

Variants: B (default), L, and of each -runlocal (a few steps, small batches)
and -eval.
"""

import ml_collections as mlc

from configs import upstream_base


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.VARIANTS`."""
  return upstream_base.make_vqgan(
    "vqgan3d_ucf101_config",
    variant,
    "3dcnn",
    upstream_base.UCF101,
    {"B": 500, "L": 2000},
  )
