"""Ways of going on with a clip, on the same tokens, in one table.

  python -m magvit3d.main --config=configs/future_prediction.py:tiny

The first 8 of 16 frames of a camera are given; see docs/prediction.md.
Variants: `:tiny` (two CPU cores), `:B` (default, a GPU), and one predictor
alone, such as `:masked_tiny` and `:masked`.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional
from ml_collections.config_dict import placeholder

from configs import study_base, traj3d, variant_base

PREDICTORS = (
  "baseline",
  "pooled",
  "joint_i3d",
  "slowfast",
  "masked",
  "autoregressive",
)
VARIANTS = (
  "tiny",
  "B",
  *(f"{name}_tiny" for name in PREDICTORS),
  *PREDICTORS,
)


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("future_prediction", variant, VARIANTS)
  is_tiny = variant.endswith("tiny")
  name = variant.removesuffix("tiny").removesuffix("_")
  config = study_base.make("tiny" if is_tiny else "B")
  config.experiment_name = f"future_prediction_{variant}"
  # Out of distribution: other cameras, other speeds.
  config.data.num_ood_camera = 96 if is_tiny else 600
  config.data.num_ood_speed = 96 if is_tiny else 600
  # The frozen tokenizer: a model that comes with the package, the --workdir of
  # a run, or a folder of save_pretrained.
  config.pretrained = optional("runs/traj3d_B")
  add_prediction(config)
  if is_tiny:
    config.pretrained = "traj3d-tiny"
    make_tiny(config)
    # Measured: 1,700 are 1.1 and 0.9 dB worse, docs/prediction.md.
    steps = config.prediction.num_steps
    steps.baseline, steps.autoregressive = 4000, 5500
  if name in PREDICTORS:
    config.prediction.names = name
  config.stages = f"data,{config.prediction.names},evaluate,report"
  return config


def add_prediction(config: mlc.ConfigDict) -> None:
  """Adds the sections of the study, of a size for a GPU."""
  config.oracle_gate = True  # The tokenizer must show the object, by
  config.oracle_gate_db = 3.0  # foreground PSNR above background-only.
  config.prediction = prediction = mlc.ConfigDict()
  prediction.names = ",".join(PREDICTORS)
  prediction.given_frames = 8
  # Of each predictor.
  transformer = traj3d.get_config("B").transformer
  prediction.transformer = transformer
  transformer.num_layers = 12
  transformer.hidden_size = 256
  transformer.mlp_dim = 1024
  transformer.num_heads = 4
  transformer.position_init = "sinusoidal"
  prediction.num_steps = steps = mlc.ConfigDict()  # Of each predictor.
  steps.baseline = placeholder(int)  # None: train_prediction.num_steps.
  steps.pooled = placeholder(int)  # None: train_prediction.num_steps.
  steps.joint_i3d = placeholder(int)  # None: train_prediction.num_steps.
  steps.slowfast = placeholder(int)  # None: train_prediction.num_steps.
  steps.masked = placeholder(int)  # None: train_prediction.num_steps.
  steps.autoregressive = placeholder(int)  # None: train_prediction.num_steps.
  prediction.channel_share = 1.0  # Of I3D and SlowFast.
  prediction.slowfast_blocks = (3, 4, 6, 3)
  prediction.motion_features = 1024
  prediction.tokenizer_rate = 0.1  # Times the predictor's, of joint_i3d.
  prediction.pixel_share = 1 / 3  # Of a batch, that is decoded in training.
  prediction.pixel_weight = 10.0
  prediction.motion_weight = 10.0
  prediction.foreground_weight = 5.0
  prediction.label_smoothing = 1e-4
  prediction.mask_schedule = "cosine"
  # Measured: the likeliest future is nearest to the true one, docs/sampling.md.
  prediction.masked_sampling = _make_sampling(mask_bins=1, temperature=0.0)
  prediction.autoregressive_temperature = 0.0
  # Masked and autoregressive: also clips of a class, from nothing.
  prediction.class_conditional = False
  prediction.class_sampling = _make_sampling(mask_bins=12, temperature=1.0)
  prediction.num_samples_per_class = 16
  prediction.num_classifier_steps = 4000
  prediction.split = "test"
  prediction.eval_batch_size = 24  # Clips.
  prediction.num_clips = 600
  prediction.num_shown_clips = 12
  # Targets that the report checks; None: not checked.
  prediction.min_foreground_gain_db = optional(3.0)
  prediction.max_centroid_px = placeholder(float)
  prediction.max_velocity_error = placeholder(float)  # Of data of PhyWorld.
  prediction.max_velocity_ratio = placeholder(float)

  config.train_prediction = training = study_base.make_training()
  training.batch_size = 48  # Clips.
  training.num_epochs = 50.0


def _make_sampling(mask_bins: int, temperature: float) -> mlc.ConfigDict:
  """Returns how tokens are decoded."""
  sampling = mlc.ConfigDict()
  sampling.mask_bins = mask_bins  # Decoding steps.
  sampling.choice_temperature = 4.5  # Of the tokens to keep.
  sampling.temperature = temperature  # Of the tokens; 0: the likeliest.
  sampling.top_k = placeholder(int)
  sampling.top_p = placeholder(float)
  sampling.guidance = 0.0
  sampling.order = placeholder(str)  # None, the surest; or 'frame_by_frame'.
  return sampling


def make_tiny(config: mlc.ConfigDict) -> None:
  """Smaller networks, for the scenes of `configs/traj3d.py:tiny`."""
  prediction = config.prediction
  transformer = prediction.transformer
  transformer.num_layers = 3
  transformer.hidden_size = 96
  transformer.mlp_dim = 384
  transformer.num_heads = 4
  transformer.kernel_init_stddev = 0.08
  transformer.dropout_rate = 0.0
  prediction.num_steps.joint_i3d = prediction.num_steps.slowfast = 1700
  prediction.channel_share = 0.25
  prediction.slowfast_blocks = (1, 1, 1, 1)
  prediction.motion_features = 128
  prediction.mask_schedule = "pow3"
  prediction.num_classifier_steps = 1800
  prediction.num_clips = 288
  study_base.shorten(
    config.train_prediction,
    num_steps=1700,
    batch_size=16,
    validate_every=500,
    num_validation_clips=48,
  )
