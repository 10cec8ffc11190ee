"""The main job: learn 3D motion from rendered multi-view clips.

Render data, train tokenizer and transformer, evaluate, report; or resume what
`--workdir` holds:

  python -m magvit3d.main --config=configs/traj3d.py --workdir=runs/traj3d

Variants after a colon: `:tiny` (two CPU cores, minutes), `:small` (the same, an
hour or two), `:S`, `:B` (default), `:L`. Override one value:
`--config.train_tokenizer.batch_size=32`. Stages:
`--config.stages=data,tokenizer`.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional
from ml_collections.config_dict import placeholder

from configs import traj3d_cpu_base, variant_base

VARIANTS = ("tiny", "small", "S", "B", "L")
# Tokenizer filters; transformer layers, hidden size, MLP width, heads.
_SIZES = {
  "S": (32, 12, 384, 1536, 6),
  "B": (64, 12, 768, 3072, 12),
  "L": (128, 24, 1024, 4096, 16),
}


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `VARIANTS`."""
  variant_base.check("traj3d", variant, VARIANTS)
  config = mlc.ConfigDict()
  config.experiment_name = f"traj3d_{variant}"
  config.seed = 0
  config.dtype = "float32"  # Of the networks' computation; or 'bfloat16'.
  config.matmul_precision = placeholder(str)  # Of float32; None: JAX's.
  # None: compiled_programs, beside the work folder.
  config.compilation_cache_dir = placeholder(str)
  config.stages = "data,tokenizer,transformer,evaluate,report"

  # Devices of all processes: product of these; see docs/parallelism.md.
  config.mesh = mesh = mlc.ConfigDict()
  mesh.data = -1  # Copies of the network; -1: what the others leave.
  mesh.fsdp = 1  # Parts of parameters and optimizer state.
  mesh.tensor = 1  # Parts of attention heads and MLP widths.
  config.max_skipped_steps = 10  # Losses not finite; then the run fails.

  # Flags of `python -m data_gen`.
  config.data = data = mlc.ConfigDict()
  data.data_dir = placeholder(str)  # A data set to use; None makes one.
  data.preset = "traj3d"  # Or 'traj2d', 'phyworld_uniform', ...
  data.file_format = "tfrecord"  # Or 'array_record'.
  data.num_train = 6000  # Scenes.
  data.num_validation = 1000
  data.num_test = 1000
  data.num_ood_pair = 0
  data.num_ood_camera = 0
  data.num_ood_speed = 0
  data.num_ood_size = 0  # Of 'phyworld_...', as the next three.
  data.num_ood_size_speed = 0
  data.num_ood_cues = 0
  data.cues = ""
  data.ood_pair = ""  # Such as 'cone_helical'.
  data.seed = 0
  data.image_size = 128
  data.num_frames = 16
  data.size_min = 1.0
  data.size_max = 3.0
  data.path_scale_min = 1.0
  data.path_scale_max = 1.0
  data.position_noise = 0.006
  data.spin = 0.0  # Turns.
  data.random_motion = False
  data.num_objects = 1
  data.num_clutter = 0
  data.num_transients = 0
  data.camera_rig = "default"
  data.field_of_view = 45.0
  data.camera_jitter = 0.0
  data.target_jitter = 0.0
  data.focal_jitter = 0.0
  data.background = "0,0,0"
  data.ground_plane = False
  data.depths = False
  data.flows = False
  data.num_colors = 0
  data.color_by_shape = False
  data.scenes_per_shard = 250
  data.num_workers = 0
  data.preview = 4

  # Reading for training; see docs/input_pipeline.md.
  config.tokenizer_cache = True  # Tokenize once; False: in every step.
  config.num_reading_threads = 4  # In each process.
  config.num_reading_workers = 0  # Processes; 0: threads of this one.
  config.input = input_ = mlc.ConfigDict()
  input_.sample = "view"  # One camera's clip; or 'scene', several of a scene.
  input_.num_views = placeholder(int)  # Of a scene, at random; None: all.
  input_.num_frames = placeholder(int)  # Of a clip; None: all that fit.
  input_.frame_stride = 1  # 2 takes every second frame.

  # Newest checkpoints that each stage keeps; see docs/checkpoints.md.
  config.checkpoints = mlc.ConfigDict()
  config.checkpoints.num_to_keep = 2

  # Tokenizer network; fields are upstream's but for those marked "ours".
  config.vqvae = vqvae = mlc.ConfigDict()
  vqvae.architecture = "3dcnn"  # Or '2plus1dcnn', '2dcnn'.
  vqvae.filters = 64
  vqvae.channel_multipliers = (1, 2, 2, 4)
  vqvae.temporal_downsample = optional((True, True, False), object)
  vqvae.num_enc_res_blocks = 2
  vqvae.num_dec_res_blocks = 2
  vqvae.num_enc_remat_blocks = 0
  vqvae.num_dec_remat_blocks = 0
  vqvae.conv_downsample = False
  vqvae.upsample = "nearest"
  vqvae.custom_conv_padding = placeholder(str)
  vqvae.encoder_conv_padding = placeholder(str)  # Of '2dcnn'.
  vqvae.use_attn = False  # In '2dcnn'.
  vqvae.num_attn_heads = 8
  vqvae.expand_mid_features = False  # In '2plus1dcnn'.
  vqvae.shortcut_reads_output = False  # Ours: MaskGIT's published tokenizers.
  vqvae.norm_type = optional("GN")
  vqvae.num_groups = 32  # Ours.
  vqvae.activation_fn = "swish"
  vqvae.output_init_scale = 1.0  # Ours; see Decoder.
  vqvae.conv_implementation = placeholder(str)  # Ours; None: the fastest here.
  vqvae.codebook_size = 2048
  vqvae.embedding_dim = 256
  vqvae.latent_normalize = False
  vqvae.commitment_cost = 0.25
  vqvae.embedding_loss_ratio = 1.0
  vqvae.entropy_loss_ratio = 0.1
  vqvae.entropy_loss_type = "softmax"
  vqvae.entropy_temperature = 0.01

  config.discriminator = discriminator = mlc.ConfigDict()
  discriminator.filters = 64
  discriminator.channel_multipliers = (2, 4, 4, 4, 4)
  discriminator.norm_type = placeholder(str)
  discriminator.num_groups = 32  # Ours.
  discriminator.num_remat_blocks = 0
  discriminator.blur_resample = False  # In '2dcnn'.

  # Tokenizer losses.
  config.vqgan = vqgan = mlc.ConfigDict()
  vqgan.loss_type = "non-saturating"
  vqgan.g_adversarial_loss_weight = 0.1
  vqgan.gradient_penalty = "r1"  # Or 'none'.
  vqgan.grad_penalty_cost = 10.0
  vqgan.lecam_weight = 0.0
  vqgan.perceptual_loss_weight = 0.0  # Upstream's is 0.1, with weights.
  vqgan.perceptual_loss_on_logit = True  # Else on the 7x7x2048 map.
  vqgan.perceptual_weights = placeholder(str)  # Ours: torchvision's ResNet-50.
  vqgan.entropy_loss_enlarge_ratio = 0.0
  vqgan.entropy_loss_enlarge_steps = 2000
  vqgan.finetune_decoder = False
  vqgan.num_train_sampled_frames = placeholder(int)  # Of clips, for 2D.
  vqgan.polyak_decay = 0.999
  vqgan.foreground_weight = 5.0  # Ours; upstream's is 1.
  vqgan.discriminator_start_step = optional(0)  # Ours; None: without one.
  vqgan.quantizer_start_step = 0  # Ours.
  vqgan.codebook_init_clips = 64  # Ours; 0: random initial codes, upstream's.
  vqgan.dead_code_reset_steps = optional(1000)  # Ours; None: never.

  config.train_tokenizer = training = mlc.ConfigDict()
  # What is trained on of each clip; see docs/crops.md.
  training.crop = crop = mlc.ConfigDict()
  crop.num_frames = placeholder(int)  # None: all.
  crop.size = placeholder(int)
  crop.object_share = 1.0  # Of the crops that lie around an object.
  training.batch_size = 48  # Clips, over all devices.
  training.gradient_accumulation_steps = 1  # Parts of a batch, in turn.
  training.num_epochs = 150.0
  training.num_steps = placeholder(int)  # Takes the place of num_epochs.
  training.g_lr = 1e-4
  training.d_lr = 1e-4
  training.warmup_steps = 375  # One epoch.
  training.optimizer = mlc.ConfigDict()
  training.optimizer.name = "adamw"  # Or 'muon', ours, for layers' kernels.
  training.optimizer.muon_rate = 10.0  # Times the learning rates.
  training.optimizer.muon_beta = 0.95
  training.optimizer.beta1 = 0.0
  training.optimizer.beta2 = 0.99
  training.optimizer.weight_decay = 0.0
  training.optimizer.max_grad_norm = placeholder(float)
  training.log_every_steps = 100
  training.validate_every_steps = 1000
  training.checkpoint_every_steps = 1000
  # Of the checkpoint that is kept besides the newest; 'min:' or 'max:'.
  training.best_metric = optional("max:validation/foreground_psnr")
  training.num_validation_clips = 96

  # A tokenizer to start from: this project's, or one in upstream's format.
  config.init_from = init_from = mlc.ConfigDict()
  init_from.checkpoint_path = placeholder(str)
  init_from.inflation = placeholder(str)  # '2d->3d' or '2d->3d/average'.
  init_from.allow = ""  # Leaves that may differ; see `magvit3d.upstream`.

  # The tokenizer must show the object before the transformer trains on it.
  config.oracle_gate = True
  config.oracle_gate_db = 3.0  # Foreground PSNR above background-only.

  config.transformer = transformer = mlc.ConfigDict()
  transformer.num_layers = 12
  transformer.hidden_size = 768
  transformer.mlp_dim = 3072
  transformer.num_heads = 12
  transformer.num_segments = 0
  transformer.kernel_init_stddev = 0.02
  transformer.position_init = "normal"  # Ours: or 'sinusoidal'.
  # Ours: cameras of a scene in one sequence; see docs/multiview.md.
  transformer.num_views = 1
  transformer.camera_embedding = placeholder(str)  # 'view' or 'rays'.
  transformer.attention_implementation = placeholder(str)  # None: the best.
  transformer.remat = False  # Less memory: layers are computed twice.
  transformer.dropout_rate = 0.1
  transformer.attention_dropout_rate = (
    0.0  # Above 0 attention takes a slow path.
  )

  config.tasks = mlc.ConfigDict()
  config.tasks.full_generation = task = mlc.ConfigDict()
  task.weight = 1.0
  task.class_conditional = optional(True)
  config.tasks.frame_prediction = task = mlc.ConfigDict()
  task.weight = 1.0
  task.class_conditional = optional(False)
  task.cond_frames = optional(8)
  task.cond_latent_frames = placeholder(int)  # None: from cond_frames.
  task.cond_padding = optional("edge")
  # In place of maskgvt.sampling's, where not None.
  for task in config.tasks.values():
    task.sampling = sampling = mlc.ConfigDict()
    sampling.mask_bins = placeholder(int)
    sampling.choice_temperature = placeholder(float)
    sampling.temperature = placeholder(float)
    sampling.top_k = placeholder(int)
    sampling.top_p = placeholder(float)
    sampling.order = placeholder(str)
    sampling.guidance = placeholder(float)

  config.maskgvt = maskgvt = mlc.ConfigDict()
  maskgvt.multi_task = True  # Sequences start with a task token.
  maskgvt.inpainting_token = False  # Upstream sends outpainting's.
  maskgvt.condition_mode = optional("cond->input")
  maskgvt.weight_mode = "mask+refine+recons"
  # Or 'block', 'frame_by_frame', 'frame', 'tube', 'view'; or several, with
  # commas: each sample has one of them.
  maskgvt.mask_type = "random"
  maskgvt.mask_block_shape = (1, 1, 1)  # Time, height, width, in tokens.
  maskgvt.mask_schedule = "cosine"
  maskgvt.draw = "step"  # One task and mask ratio a step; or 'clip'.
  maskgvt.sampling = mlc.ConfigDict()
  maskgvt.sampling.mask_bins = 12  # Decoding steps.
  maskgvt.sampling.choice_temperature = 4.5  # Of the tokens to keep.
  maskgvt.sampling.temperature = 1.0  # Of the tokens; 0: the likeliest.
  maskgvt.sampling.top_k = placeholder(int)
  maskgvt.sampling.top_p = placeholder(float)
  maskgvt.sampling.guidance = 0.0
  # Tokens that are decoded first: None, the surest; or 'frame_by_frame'.
  maskgvt.sampling.order = placeholder(str)

  config.train_transformer = training = mlc.ConfigDict()
  training.batch_size = 48  # Clips: those of 16 scenes with 3 cameras.
  training.gradient_accumulation_steps = 1
  training.num_epochs = 150.0
  training.num_steps = placeholder(int)
  training.learning_rate = 5e-5
  training.warmup_steps = 2000
  training.label_smoothing = 1e-4
  training.optimizer = mlc.ConfigDict()
  training.optimizer.name = "adamw"  # Or 'muon', ours, for layers' kernels.
  training.optimizer.muon_rate = 10.0  # Times learning_rate.
  training.optimizer.muon_beta = 0.95
  training.optimizer.beta1 = 0.9
  training.optimizer.beta2 = 0.96
  training.optimizer.weight_decay = 0.02
  training.optimizer.max_grad_norm = optional(1.0)
  training.log_every_steps = 100
  training.validate_every_steps = 1000
  training.checkpoint_every_steps = 1000
  training.best_metric = optional("min:validation/full_generation/masked_error")
  training.num_validation_clips = 96

  # How a run is watched; see docs/monitoring.md.
  config.monitoring = monitoring = mlc.ConfigDict()
  monitoring.stall_after_s = 300.0  # Without a step; more if steps are slow.
  monitoring.wandb_project = placeholder(str)  # Weights & Biases; None: off.
  monitoring.peak_flops_per_second = placeholder(float)  # None: known devices.

  config.evaluation = evaluation = mlc.ConfigDict()
  evaluation.split = "test"
  evaluation.batch_size = 24  # Clips, over all devices.
  evaluation.num_clips = 600  # At most; spread evenly over the split.
  evaluation.num_shown_clips = 12  # In the report.
  evaluation.num_samples_per_class = 16
  evaluation.num_shown_samples_per_class = 2
  # Training scenes that probes are fitted on, and steps of each; 0 scenes: no
  # probes, no rates, no scores of samples. See docs/evaluation.md.
  evaluation.num_probe_scenes = 1000
  evaluation.num_probe_steps = 2000
  # Of these scenes, at most, the transformer's features are read; None: of all.
  evaluation.num_feature_scenes = placeholder(int)
  # Training samples that the classifier of samples is fitted on, and steps.
  evaluation.num_classifier_samples = 6000
  evaluation.num_classifier_steps = 4000
  # Shares of a clip's tokens that are told; the others are filled in.
  evaluation.num_rate_clips = placeholder(int)  # At most; None: num_clips.
  evaluation.token_budgets = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
  # Weights that others trained, for their metrics; see docs/video_metrics.md.
  evaluation.i3d_weights = placeholder(str)
  evaluation.c3d_weights = placeholder(str)
  evaluation.lpips_weights = placeholder(str)
  # Targets that the report checks; None (or False): not checked. A number that
  # is checked but not measured is not passed. See docs/evaluation.md.
  evaluation.max_ade_over_copy_last = optional(
    0.5
  )  # Of predictions, by metres.
  evaluation.max_ade_over_constant_velocity = optional(0.45)
  evaluation.motions_below_baselines = optional(True)  # ADE of each motion.
  evaluation.min_foreground_gain_db = optional(3.0)
  evaluation.max_color_error_ratio = optional(0.25)
  evaluation.max_tokenizer_ade_m = optional(0.035)
  evaluation.min_sample_shape_accuracy = optional(
    0.75
  )  # Of samples of a class.
  evaluation.min_sample_motion_accuracy = optional(0.7)
  # Of what judges them, on real ones.
  evaluation.min_classifier_accuracy = optional(0.9)
  evaluation.min_probe_motion_accuracy = optional(0.9)  # Of tokens or features.
  evaluation.probes_below_baselines = optional(True)  # At t+1 and t+5.
  evaluation.min_foreground_perplexity = optional(30.0)
  evaluation.max_token_error_ratio = optional(2 / 3)

  if variant in ("tiny", "small"):
    traj3d_cpu_base.make_tiny(config)
    if variant == "small":
      traj3d_cpu_base.make_small(config)
  else:
    _set_size(config, variant)
  return config


def _set_size(config: mlc.ConfigDict, variant: str) -> None:
  filters, layers, hidden_size, mlp_dim, heads = _SIZES[variant]
  config.vqvae.filters = config.discriminator.filters = filters
  config.transformer.num_layers = layers
  config.transformer.hidden_size = hidden_size
  config.transformer.mlp_dim = mlp_dim
  config.transformer.num_heads = heads
