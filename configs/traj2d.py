"""MAGVIT in the plane: masked against autoregressive, on the same tokens.

  python -m magvit3d.main --config=configs/traj2d.py:tiny

Squares, discs and triangles move on lines, circles, sines and parabolas before
one fixed camera. The run trains its own tokenizer; the first 8 of 16 frames are
given. See docs/prediction.md. Variants: `:tiny` (32 px, two CPU cores), `:B`
(default, 128 px, a GPU), `:discs` (figures of 5 px radius, 25 of 50 frames).
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional

from configs import future_prediction, study_base, variant_base

VARIANTS = ("tiny", "B", "discs")


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("traj2d", variant, VARIANTS)
  is_tiny = variant == "tiny"
  config = study_base.make("tiny" if is_tiny else "B", trains_tokenizer=True)
  config.experiment_name = f"traj2d_{variant}"
  data = config.data
  data.preset = "traj2d"
  data.size_min, data.size_max = 0.8, 1.2
  data.num_train, data.num_validation, data.num_test = 18000, 1000, 1000
  future_prediction.add_prediction(config)
  prediction = config.prediction
  prediction.names = "masked,autoregressive"
  prediction.class_conditional = True
  prediction.max_centroid_px = optional(3.5)
  if is_tiny:
    future_prediction.make_tiny(config)
    data.num_train, data.num_validation, data.num_test = 12_000, 144, 288
    data.num_ood_speed = 96
    data.size_min, data.size_max = 1.5, 2.2
    config.train_tokenizer.num_steps = 2000
    config.train_prediction.num_steps = 6000
    prediction.max_centroid_px = 3.5 / 4  # As 3.5 of 128 px.
  if variant == "discs":
    data.num_frames, prediction.given_frames = 50, 25
    data.size_min = data.size_max = 1 / 3  # A disc has a radius of 5 px.
    config.vqvae.temporal_downsample = (True, False, False)
    prediction.names = ",".join(future_prediction.PREDICTORS[:2]) + (
      ",masked,autoregressive"
    )
    prediction.class_conditional = False
  stages = f"data,tokenizer,{prediction.names},evaluate,report"
  config.stages = stages
  return config
