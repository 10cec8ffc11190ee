"""What upstream's six configs share; no experiment by itself.

Field names and values are MAGVIT's (https://arxiv.org/abs/2212.05199,
appendices A and B) but for those marked "ours". Paths into upstream's own
storage are None here; lengths and sizes that it fills in at run time are
derived, so they have no field.
"""

import dataclasses

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional
from ml_collections.config_dict import placeholder

from configs import variant_base

FILTERS = {"B": 64, "L": 128}
# Layers, hidden size, MLP width, heads.
TRANSFORMER_SIZES = {"B": (12, 768, 3072, 12), "L": (24, 1024, 4096, 16)}
SIZES = ("B", "L")
VARIANTS = (*SIZES, "B-runlocal", "B-eval", "L-runlocal", "L-eval")


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Facts about a data set.

  Attributes:
    name: Of `magvit3d.data.videos.video_datasets`.
    num_classes: Classes; 0 for unlabelled clips.
    num_train: Clips of the training split, one a video.
    image_size: Height and width of the clips, pixels.
    flip: Whether training flips clips at random.
  """

  name: str
  num_classes: int
  num_train: int
  image_size: int
  flip: bool


UCF101 = Dataset("ucf101", 101, 9_537, 128, False)
BAIR = Dataset("bair", 0, 43_264, 64, True)
NUM_FRAMES = 16


def split_variant(
  file: str, variant: str, known: tuple[str, ...] = VARIANTS
) -> tuple[str, str]:
  """Returns the size and the mode ('', 'runlocal' or 'eval') of a variant.

  Raises:
    ValueError: `file` has no such variant.
  """
  variant_base.check(file.removesuffix(".py"), variant, known)
  size, _, mode = variant.partition("-")
  return size, mode


def make_common(
  name: str,
  variant: str,
  model_class: str,
  dataset: Dataset,
  batch_size: int,
  num_epochs: int,
) -> mlc.ConfigDict:
  """Returns what tokenizers and transformers have in common."""
  _, _, mode = variant.partition("-")
  config = mlc.ConfigDict()
  config.experiment_name = f"{name}_{variant}"
  config.model_class = model_class  # VQGAN, MaskGVT or LMGVT.
  config.rng_seed = 0  # Of initial values, order of the data, masks.
  config.dtype = "float32"
  config.matmul_precision = placeholder(str)  # Ours: of float32; None: JAX's.
  # Ours: None: compiled_programs, beside the work folder.
  config.compilation_cache_dir = placeholder(str)
  config.image_size = dataset.image_size  # Pixels a side.
  config.eval_only = mode == "eval"  # Ours: score the newest checkpoint.

  # Or video_folder, image_folder, traj3d: see docs/datasets.md.
  config.dataset_name = dataset.name
  config.dataset_type = "video"  # Or 'image': clips of one frame.
  config.dataset_configs = data = mlc.ConfigDict()
  data.num_frames = NUM_FRAMES  # Of a clip.
  data.num_classes = dataset.num_classes  # 0 for unlabelled clips.
  data.num_train_examples = dataset.num_train  # Clips of an epoch.
  data.data_dir = placeholder(str)  # Ours: None is TFDS's own folder.
  data.frame_stride = 1  # Ours: 2 takes every second frame.
  data.short_videos = "error"  # Ours; see docs/datasets.md.
  data.damaged_videos = "error"  # Ours; see docs/datasets.md.
  data.repeated_videos = "error"  # Ours: in two splits.
  data.flip = dataset.flip  # Mirrors half of the training clips.
  data.random_crop = False  # Ours: a random square, not the middle one.
  config.num_reading_threads = 8  # Ours: in each process.
  config.num_reading_workers = 0  # Ours: processes; 0: threads of this one.

  is_local = mode == "runlocal"
  # References: what depends on an overridden field follows it.
  config.batch_size = 2 if is_local else batch_size  # Over all devices.
  batch_ref = config.get_ref("batch_size")
  # Of validation and scores.
  config.eval_batch_size = batch_ref if is_local else batch_ref // 4
  config.gradient_accumulation_steps = 1  # Ours: parts of a batch.
  config.max_skipped_steps = 10  # Ours: not finite; then the run fails.
  config.mesh = mesh = mlc.ConfigDict()  # Ours; see docs/parallelism.md.
  mesh.data = -1  # What the others leave.
  mesh.fsdp = 1
  mesh.tensor = 1
  config.num_training_epochs = num_epochs  # Times each clip is seen.
  # In place of epochs; a few steps tell whether all is in place.
  config.num_training_steps = optional(4 if is_local else None, int)
  config.log_summary_steps = 1 if is_local else 100  # Between lines.
  config.log_eval_steps = 4 if is_local else 5_000  # Between validations.
  config.checkpoint_steps = 4 if is_local else 1_000  # Between checkpoints.
  config.checkpoints = mlc.ConfigDict()  # Ours; see docs/checkpoints.md.
  config.checkpoints.num_to_keep = 2
  config.checkpoints.best_metric = placeholder(str)  # 'min:' or 'max:'.
  config.num_eval_examples = 4 if is_local else 256  # Ours: clips scored.
  config.monitoring = monitoring = mlc.ConfigDict()  # Ours: docs/monitoring.md.
  monitoring.stall_after_s = 300.0
  monitoring.wandb_project = placeholder(str)
  monitoring.peak_flops_per_second = placeholder(float)

  steps_per_epoch = data.get_ref("num_train_examples") // batch_ref
  config.lr_configs = rates = mlc.ConfigDict()
  rates.learning_rate_schedule = "compound"  # The product of `factors`.
  # Each rises or falls with the step; the peak is base_learning_rate.
  rates.factors = "constant * cosine_decay * linear_warmup"
  rates.base_learning_rate = 1e-4  # Its peak.
  rates.steps_per_epoch = steps_per_epoch  # Clips over batch_size.
  # In which the cosine falls to 0.
  rates.steps_per_cycle = (
    config.get_ref("num_training_epochs") * steps_per_epoch
  )
  rates.warmup_steps = 2 if is_local else 5_000  # The rate rises from 0.
  config.optimizer = mlc.ConfigDict()

  config.init_from = init = mlc.ConfigDict()
  init.checkpoint_path = placeholder(str)
  init.inflation = placeholder(str)  # '2d->3d' or '2d->3d/average'.
  init.allow = ""  # Ours: leaves that may differ; see `magvit3d.upstream`.
  return config


def add_tokenizer(
  config: mlc.ConfigDict, size: str, architecture: str, dataset: Dataset
) -> None:
  """Adds the network of the tokenizer."""
  is_2d, is_small = architecture == "2dcnn", dataset.image_size == 64
  config.vqvae = vqvae = mlc.ConfigDict()
  vqvae.architecture = architecture
  vqvae.codebook_size = 1024
  vqvae.embedding_dim = 256
  vqvae.filters = FILTERS[size]
  vqvae.channel_multipliers = (1, 2, 4) if is_small else (1, 2, 2, 4)
  if not is_2d:
    flags = (True, True, False)
    halvings = flags[: len(vqvae.channel_multipliers) - 1]
    vqvae.temporal_downsample = optional(halvings, object)
  vqvae.num_enc_res_blocks = 2
  vqvae.num_dec_res_blocks = 2
  remat = 0 if is_2d or size == "B" else 1
  vqvae.num_enc_remat_blocks = remat
  vqvae.num_dec_remat_blocks = remat
  vqvae.norm_type = optional("GN")
  vqvae.activation_fn = "swish"
  vqvae.conv_downsample = False
  vqvae.upsample = "nearest"
  vqvae.latent_normalize = False
  vqvae.commitment_cost = 0.25
  vqvae.embedding_loss_ratio = 1.0
  vqvae.entropy_loss_ratio = 0.1
  vqvae.entropy_loss_type = "softmax"
  vqvae.entropy_temperature = 0.01
  vqvae.conv_implementation = placeholder(str)  # Ours; None: the fastest here.
  if is_2d:
    vqvae.encoder_conv_padding = placeholder(str)
    vqvae.use_attn = False
    vqvae.num_attn_heads = 8
  else:
    vqvae.custom_conv_padding = placeholder(str)


def add_transformer_optimizer(config: mlc.ConfigDict) -> None:
  """Adds what AdamW takes of a transformer."""
  config.optimizer.beta1 = 0.9
  config.optimizer.beta2 = 0.96
  config.optimizer.weight_decay = 0.045
  config.optimizer.max_grad_norm = optional(1.0)


def add_tokenizer_checkpoint(config: mlc.ConfigDict) -> None:
  """Adds where a transformer's frozen tokenizer comes from."""
  config.tokenizer = mlc.ConfigDict()  # Ours.
  config.tokenizer.checkpoint_path = placeholder(str)


def make_vqgan(
  file: str,
  variant: str,
  architecture: str,
  dataset: Dataset,
  num_epochs: dict[str, int],
) -> mlc.ConfigDict:
  """Returns the config of a tokenizer."""
  size, _ = split_variant(f"{file}.py", variant)
  is_2d = architecture == "2dcnn"
  batch_size = 256 if is_2d or size == "L" else 128
  name = file.removesuffix("_config")
  config = make_common(
    name, variant, "VQGAN", dataset, batch_size, num_epochs[size]
  )
  if not variant.endswith("runlocal"):  # One epoch.
    rates = config.lr_configs
    rates.warmup_steps = rates.get_ref("steps_per_epoch")
  optimizer = config.optimizer
  # None: base_learning_rate; of the generator.
  optimizer.g_lr = placeholder(float)
  optimizer.d_lr = placeholder(float)  # The same, of the discriminator.
  optimizer.beta1 = 0.0
  optimizer.beta2 = 0.99
  optimizer.weight_decay = 0.0
  optimizer.max_grad_norm = placeholder(float)
  config.init_from.inflation = None if is_2d else "2d->3d"

  add_tokenizer(config, size, architecture, dataset)
  config.discriminator = discriminator = mlc.ConfigDict()
  discriminator.filters = FILTERS[size]
  is_small = dataset.image_size == 64
  discriminator.channel_multipliers = (
    (2, 4, 4, 4) if is_small else (2, 4, 4, 4, 4)
  )
  discriminator.num_remat_blocks = config.vqvae.num_enc_remat_blocks
  if is_2d:
    discriminator.blur_resample = False

  config.crop = crop = mlc.ConfigDict()  # Ours: what is trained on of a clip.
  crop.num_frames = placeholder(int)  # None: all.
  crop.size = placeholder(int)
  crop.object_share = 1.0  # Around objects, where there are masks.

  config.vqgan = vqgan = mlc.ConfigDict()
  vqgan.loss_type = "non-saturating"
  vqgan.g_adversarial_loss_weight = 0.1
  vqgan.gradient_penalty = "r1"
  vqgan.grad_penalty_cost = 10.0
  vqgan.perceptual_loss_weight = 0.1
  vqgan.perceptual_loss_on_logit = True
  vqgan.perceptual_weights = placeholder(str)  # Ours; needed above weight 0.
  vqgan.lecam_weight = 0.0
  vqgan.polyak_decay = 0.999
  vqgan.entropy_loss_enlarge_ratio = 0.0
  vqgan.entropy_loss_enlarge_steps = 2_000
  vqgan.finetune_decoder = False
  vqgan.num_train_sampled_frames = optional(4 if is_2d else None, int)
  return config


def make_maskgvt(
  file: str,
  variant: str,
  dataset: Dataset,
  num_epochs: dict[str, int],
  known: tuple[str, ...] = VARIANTS,
) -> mlc.ConfigDict:
  """Returns the config of a transformer, without its tasks."""
  size, _ = split_variant(f"{file}.py", variant, known)
  name = file.removesuffix("_config")
  config = make_common(name, variant, "MaskGVT", dataset, 256, num_epochs[size])
  add_transformer_optimizer(config)
  add_tokenizer(config, size, "3dcnn", dataset)
  add_tokenizer_checkpoint(config)

  layers, hidden_size, mlp_dim, heads = TRANSFORMER_SIZES[size]
  config.transformer = transformer = mlc.ConfigDict()
  transformer.latent_shape = optional((4, 16, 16), object)
  transformer.num_layers = layers
  transformer.hidden_size = hidden_size
  transformer.mlp_dim = mlp_dim
  transformer.num_heads = heads
  transformer.num_segments = 0
  transformer.dropout_rate = 0.1
  transformer.attention_dropout_rate = 0.1
  # Ours: 'xla' or 'cudnn'; dropout above takes a slow path instead.
  transformer.attention_implementation = placeholder(str)
  transformer.label_smoothing = 1e-4
  transformer.multi_task = False
  transformer.condition_mode = placeholder(str)
  transformer.weight_mode = "mask+refine+recons"
  transformer.mask_schedule = "cosine"
  transformer.mask_type = "random"
  transformer.mask_block_shape = (1, 1, 1)

  config.sampling = sampling = mlc.ConfigDict()
  sampling.mask_bins = 12
  sampling.choice_temperature = 4.5
  sampling.temperature = 1.0
  sampling.top_k = placeholder(int)
  sampling.top_p = placeholder(float)
  sampling.guidance = 0.0
  config.bug_patches = mlc.ConfigDict()
  config.bug_patches.inpainting_token = False
  config.tasks = mlc.ConfigDict()
  return config
