"""PhyWorld's protocol: discs that move by a law, in and out of distribution.

  python -m magvit3d.main --config=configs/phyworld.py:uniform_tiny

Three of 32 frames are given; the score is the error of the velocities that are
found in predicted frames, units per second. The run trains its own tokenizer.
See docs/phyworld.md. Variants, a law each: `:uniform` (default), `:parabola`,
`:collision` (128 px, a GPU), and `:uniform_tiny` and so on (32 px, two CPU
cores).
"""

import ml_collections as mlc

from configs import future_prediction, study_base, variant_base

LAWS = ("uniform", "parabola", "collision")
VARIANTS = (*LAWS, *(f"{law}_tiny" for law in LAWS))


def get_config(variant: str = "uniform") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("phyworld", variant, VARIANTS)
  law, _, size = variant.partition("_")
  config = study_base.make(size or "B", trains_tokenizer=True)
  config.experiment_name = f"phyworld_{variant}"
  data = config.data
  data.preset = f"phyworld_{law}"
  data.num_train, data.num_validation, data.num_test = 30000, 1000, 1000
  data.num_ood_size = data.num_ood_speed = data.num_ood_size_speed = 1000
  data.num_frames = 32
  # By the preset; see docs/phyworld.md.
  data.size_min = data.size_max = data.position_noise = 0.0
  data.path_scale_min = data.path_scale_max = 1.0
  data.num_colors = 0
  future_prediction.add_prediction(config)
  prediction = config.prediction
  prediction.names = "joint_i3d,masked"
  prediction.given_frames = 3
  # Targets that the report checks; None: not checked.
  prediction.max_velocity_error = 0.1  # Units per second.
  prediction.max_velocity_ratio = 5.0  # Out over in distribution.
  if size:
    _make_tiny(config)
  config.stages = f"data,tokenizer,{prediction.names},evaluate,report"
  return config


def _make_tiny(config: mlc.ConfigDict) -> None:
  """Half as long clips of 32 px, smaller networks, few minutes."""
  data = config.data
  data.num_frames = 16
  data.num_train, data.num_validation, data.num_test = 2000, 96, 144
  data.num_ood_size = data.num_ood_speed = data.num_ood_size_speed = 96
  future_prediction.make_tiny(config)
  config.prediction.num_clips = 144
  # Measured: with four frames a token, as in `configs/traj3d.py:tiny`, the
  # tokenizer alone costs four times the velocity error, docs/phyworld.md.
  config.vqvae.temporal_downsample = (True, False)
  config.vqvae.codebook_size = 512
  config.train_tokenizer.num_steps = 1200
  config.train_prediction.num_steps = 900
  # Left out: regression with pixels, which compiles for minutes on two cores.
  config.prediction.names = "masked"
