"""Upstream's 3D tokenizer of BAIR robot pushing, 64 pixels.

Variants: B (default), L, and of each -runlocal (a few steps, small batches)
and -eval.
"""

import ml_collections as mlc

from configs import upstream_base


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.VARIANTS`."""
  return upstream_base.make_vqgan(
    "vqgan3d_bair_config",
    variant,
    "3dcnn",
    upstream_base.BAIR,
    {"B": 400, "L": 800},
  )
