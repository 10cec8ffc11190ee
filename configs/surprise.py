"""Do trained networks notice the impossible? Pairs of clips, by surprise.

  python -m magvit3d.main --config=configs/surprise.py:small

Nothing is trained: renders pairs like the scenes that the networks know, asks
which clip of each is impossible, and writes a report; see docs/surprise.md.
Variants, by networks: `:tiny` and `:small`, which come with the package, and
`:multiview`, which takes the --workdir of a run of traj3d_multiview.py:tiny.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional
from ml_collections.config_dict import placeholder

from configs import study_base, variant_base

VARIANTS = ("tiny", "small", "multiview")


def get_config(variant: str = "small") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("surprise", variant, VARIANTS)
  config = study_base.make("small" if variant == "small" else "tiny")
  config.experiment_name = f"surprise_{variant}"
  config.stages = "data,evaluate,report"
  data = config.data
  data.num_train = 0
  # All seven kinds equally often; on validation, baselines are chosen.
  data.num_validation, data.num_test = 140, 7000
  config.pretrained = optional(f"traj3d-{variant}")
  config.surprise = surprise = mlc.ConfigDict()
  surprise.split = "test"  # That is scored.
  surprise.eval_batch_size = 16  # Clips.
  surprise.past_alone = False
  surprise.num_draws = placeholder(int)
  # Targets that the report checks; None: not checked.
  surprise.min_mean = optional(0.95 if variant == "small" else 0.85)
  surprise.min_kind = optional(0.9)
  surprise.min_views = placeholder(float)
  if variant == "tiny":
    surprise.min_kind = None
  if variant == "multiview":
    config.pretrained = "runs/traj3d_multiview_tiny"
    surprise.min_kind, surprise.min_views = None, 0.9
  return config
