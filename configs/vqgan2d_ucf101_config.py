"""Upstream's 2D tokenizer of UCF-101, whose frames are tokenized one by one.

It initializes the 3D one. Variants: B (default), L, and of each -runlocal
(a few steps, small batches) and -eval.
"""

import ml_collections as mlc

from configs import upstream_base


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.VARIANTS`."""
  return upstream_base.make_vqgan(
    "vqgan2d_ucf101_config",
    variant,
    "2dcnn",
    upstream_base.UCF101,
    {"B": 1000, "L": 1000},
  )
