"""A world model with actions: discrete diffusion over the tokens of frames.

  python -m magvit3d.main --config=configs/world_model.py:tiny

Two digits move and bounce; the displacement of the first is the action. The
model sees 10 of 20 frames and all actions, and says the other frames, beside a
convolutional LSTM of as many parameters; see docs/world_model.md. Or, in scenes
of traj3d (8 of 16 frames), the displacement of the main object, or that of the
cameras, which move. Variants: `:tiny`, `:object_tiny`, `:camera_tiny` (two CPU
cores), `:B` (default), `:object_B`, `:camera_B` (a GPU).
"""

import ml_collections as mlc
from ml_collections.config_dict import placeholder

from configs import study_base, variant_base

VARIANTS = (
  "tiny",
  "B",
  "object_tiny",
  "object_B",
  "camera_tiny",
  "camera_B",
)


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("world_model", variant, VARIANTS)
  action, _, size = variant.rpartition("_")
  config = study_base.make(size)
  config.experiment_name = f"world_model_{variant}"
  config.stages = "data,world_model,convlstm,evaluate,report"
  config.dtype = "bfloat16"

  if action:
    config.data.num_clutter = 1  # What rests tells how the cameras move.
    config.data.image_size = 64
  else:
    del config.data  # Clips are made when they are read.
    config.digits = _make_digits()

  config.world_model = model = mlc.ConfigDict()
  model.action = action or "digit"  # Whose steps are told.
  model.num_levels = 16
  model.patch = 4  # Pixels of a side that share a position.
  model.num_layers = 8
  model.hidden_size = 512
  model.mlp_dim = 2048
  model.num_heads = 8
  model.kernel_init_stddev = 0.02
  model.relative_bias = True
  model.attention_implementation = placeholder(str)
  model.remat = True  # 64 px make long sequences.
  model.motion = motion = mlc.ConfigDict()
  motion.features = 32
  motion.num_kernels = 4
  motion.radius = 4  # As far as digits go in a frame.
  motion.width = 64
  motion.num_layers = 2
  model.future_share = 0.5
  model.joint_share = 0.4  # The rest: each frame by itself.
  model.mask_schedule = "cosine"
  model.draw = "clip"  # Or 'frame'.
  model.max_noise = 0.2
  model.action_drop_rate = 0.1
  model.label_smoothing = 0.0
  model.ema_decay = 0.999
  model.given_frames = 8 if action else 10
  model.steps_per_frame = 8
  model.choice_temperature = 1.0
  model.temperature = 1.0
  model.num_samples = 8  # Whose mean is scored too.
  model.resample = True
  model.convlstm = mlc.ConfigDict()
  model.convlstm.num_layers = 3
  model.convlstm.features = 440
  model.convlstm.kernel_size = 3
  model.convlstm.learning_rate = placeholder(float)
  model.convlstm.num_steps = placeholder(int)
  model.split = "test"  # That is scored.
  model.eval_batch_size = 50  # Clips.
  model.num_shown_clips = 8
  # Targets that the report checks.
  model.below_baselines = True
  model.actions_matter = True

  config.train_world_model = training = study_base.make_training()
  training.num_epochs = 100.0 if action else 2.0  # Of fewer clips.
  training.best_metric = "min:validation/mse"
  training.num_validation_clips = 200
  if size == "tiny":
    _make_tiny(config)
  return config


def _make_digits() -> mlc.ConfigDict:
  digits = mlc.ConfigDict()
  digits.num_train = 1_000_000  # Clips.
  digits.num_validation, digits.num_test = 1000, 1000
  digits.num_frames = 20
  digits.image_size = 64
  digits.num_digits = 2  # The first is moved by the actions.
  digits.max_speed = 4  # Pixels a frame.
  digits.turn_rate = 0.15
  digits.seed = 0
  digits.mnist_dir = placeholder(str)  # MNIST's idx files.
  digits.test_file = placeholder(str)  # mnist_test_seq.npy.
  return digits


def _make_tiny(config: mlc.ConfigDict) -> None:
  """Smaller frames and networks, few minutes."""
  config.dtype = "float32"
  if "digits" in config:
    digits = config.digits
    digits.num_train, digits.num_validation, digits.num_test = 20_000, 100, 150
    digits.image_size = 16
    digits.max_speed = config.world_model.motion.radius = 1
  else:
    data = config.data
    data.num_train, data.num_validation, data.num_test = 1300, 32, 150
    data.image_size = 24
    config.world_model.motion.radius = 2
  model = config.world_model
  model.num_layers = 3
  model.hidden_size = 128
  model.mlp_dim = 256
  model.num_heads = 4
  model.kernel_init_stddev = 0.05
  model.remat = False
  model.draw = "frame"
  model.ema_decay = 0.99
  model.steps_per_frame = 4  # On validation no worse than 8 or 16.
  model.convlstm.num_layers = 2
  model.convlstm.features = 88
  study_base.shorten(
    config.train_world_model,
    num_steps=3200 if "digits" in config else 1000,  # Of larger frames.
    batch_size=8,
    validate_every=300,
    num_validation_clips=32,
  )
