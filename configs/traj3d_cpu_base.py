"""The variants of `configs/traj3d.py` for two CPU cores: `:tiny`, `:small`."""

import ml_collections as mlc


def make_tiny(config: mlc.ConfigDict) -> None:
  """Small clips of large, slow objects: learnt in minutes on two CPU cores."""
  data = config.data
  data.num_train, data.num_validation, data.num_test = 1300, 48, 96
  data.image_size = 32
  data.size_min, data.size_max = 3.0, 5.0
  data.path_scale_min, data.path_scale_max = 0.8, 1.0
  data.num_colors = 4
  data.scenes_per_shard = 100
  config.num_reading_threads = 2

  vqvae = config.vqvae
  vqvae.filters = 16
  vqvae.channel_multipliers = (1, 2, 4)
  vqvae.temporal_downsample = (True, True)
  vqvae.num_enc_res_blocks = vqvae.num_dec_res_blocks = 1
  vqvae.norm_type = "LN"  # Groups would mix the object into all tokens.
  vqvae.upsample = "deconv"
  vqvae.output_init_scale = 0.01
  vqvae.codebook_size = 128
  vqvae.embedding_dim = 32
  vqvae.entropy_loss_ratio = 0.002
  config.discriminator.filters = 8
  config.discriminator.channel_multipliers = (2, 4, 4)
  config.discriminator.num_groups = 8
  vqgan = config.vqgan
  vqgan.polyak_decay = 0.99
  vqgan.discriminator_start_step = None
  vqgan.quantizer_start_step = 200
  vqgan.codebook_init_clips = 256
  vqgan.dead_code_reset_steps = 50
  training = config.train_tokenizer
  training.crop.num_frames, training.crop.size = 8, 16
  training.batch_size = 16
  training.num_steps = 1130
  training.g_lr = training.d_lr = 2e-3
  training.optimizer.name = "muon"
  training.warmup_steps = 20
  training.optimizer.beta1 = 0.9
  training.best_metric = None  # Unquantized clips would score best.
  training.log_every_steps = 20
  training.validate_every_steps = 300
  training.checkpoint_every_steps = 300
  training.num_validation_clips = 48

  config.maskgvt.weight_mode = "mask+refine"
  config.maskgvt.draw = "clip"
  # Measured: clips that hide most of their tokens teach to predict much faster,
  # docs/sampling.md.
  config.maskgvt.mask_schedule = "pow3"
  config.tasks.frame_prediction.weight = 2.0
  # Measured: the likeliest future is nearest to the true one in metres.
  config.tasks.frame_prediction.sampling.mask_bins = 1
  config.tasks.frame_prediction.sampling.temperature = 0.0
  # Measured: guided samples show their class more often, docs/sampling.md.
  config.tasks.full_generation.sampling.guidance = 3.0
  config.tasks.full_generation.sampling.choice_temperature = 9.0
  transformer = config.transformer
  transformer.num_layers = 3
  transformer.kernel_init_stddev = 0.08
  transformer.position_init = "sinusoidal"
  # Narrow: in so few minutes, clips seen count more than parameters.
  transformer.hidden_size = 96
  transformer.mlp_dim = 384
  transformer.num_heads = 4
  transformer.dropout_rate = 0.0
  training = config.train_transformer
  training.batch_size = 16
  training.num_steps = 2400
  training.learning_rate = 2e-3
  training.optimizer.name = "muon"
  training.warmup_steps = 50
  training.log_every_steps = 50
  training.validate_every_steps = 500
  training.checkpoint_every_steps = 500
  training.num_validation_clips = 48
  config.evaluation.num_clips = 144
  config.evaluation.num_samples_per_class = 8
  config.evaluation.num_probe_scenes = 1300
  config.evaluation.num_feature_scenes = 300
  config.evaluation.num_probe_steps = 300
  config.evaluation.num_classifier_steps = 1200
  config.evaluation.num_rate_clips = 16
  config.evaluation.token_budgets = (0.0, 1 / 8, 1 / 2, 1.0)
  config.evaluation.min_foreground_gain_db = 9.0


def make_small(config: mlc.ConfigDict) -> None:
  """The default scenes' paths at 64 px: an hour or two on two CPU cores."""
  data = config.data
  data.num_train, data.num_validation, data.num_test = 3000, 96, 192
  data.image_size = 64
  data.size_min, data.size_max = 2.0, 4.0
  data.path_scale_min, data.path_scale_max = 1.0, 1.0
  data.num_colors = 8

  vqvae = config.vqvae
  vqvae.channel_multipliers = (1, 2, 4, 4)
  vqvae.temporal_downsample = (True, True, False)
  vqvae.codebook_size = 1024
  config.vqgan.quantizer_start_step = 400
  config.vqgan.codebook_init_clips = 1024
  config.vqgan.dead_code_reset_steps = 100
  training = config.train_tokenizer
  training.crop.size = 32
  training.batch_size = 8
  training.num_steps = 6000
  training.validate_every_steps = training.checkpoint_every_steps = 1000

  transformer = config.transformer
  transformer.num_layers = 4
  transformer.hidden_size = 128
  transformer.mlp_dim = 512
  transformer.num_heads = 4
  training = config.train_transformer
  training.num_steps = 8000
  training.validate_every_steps = training.checkpoint_every_steps = 1000
  config.evaluation.num_probe_scenes = 1000
  config.evaluation.num_probe_steps = 800
  config.evaluation.num_classifier_steps = 3000
  config.evaluation.max_ade_over_copy_last = 0.4
  config.evaluation.max_tokenizer_ade_m = 0.04
