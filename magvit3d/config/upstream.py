"""MAGVIT's own configs in the sections of `configs/traj3d.py`.

Upstream's files describe one stage each, with names of their own. What our
sections have beyond upstream is off.
"""

from collections.abc import Mapping
from typing import Any

MODEL_CLASSES = ("VQGAN", "MaskGVT", "LMGVT")
# Fields of ours, and what upstream's configs call them.
NAMES = {
  "data.num_frames": "dataset_configs.num_frames",
  "data.image_size": "image_size",
  "train_tokenizer.batch_size": "batch_size",
  "train_tokenizer.crop": "crop",
  "train_tokenizer.best_metric": "checkpoints.best_metric",
  "train_transformer.batch_size": "batch_size",
  "train_transformer.best_metric": "checkpoints.best_metric",
  "evaluation.batch_size": "eval_batch_size",
}
_SAME = (
  "experiment_name",
  "dtype",
  "matmul_precision",
  "compilation_cache_dir",
  "max_skipped_steps",
  "num_reading_threads",
  "num_reading_workers",
  "mesh",
  "init_from",
  "tokenizer",
  "monitoring",
  "eval_only",
  "vqvae",
)
# Ours, in `vqgan`; upstream's tokenizer starts with all of it, at once.
_BEYOND_UPSTREAM = {
  "foreground_weight": 1.0,
  "discriminator_start_step": 0,
  "quantizer_start_step": 0,
  "codebook_init_clips": 0,
  "dead_code_reset_steps": None,
}
# Fields of upstream's `transformer` that are about masks and losses.
_MASK_FIELDS = (
  "multi_task",
  "condition_mode",
  "weight_mode",
  "mask_schedule",
  "mask_type",
  "mask_block_shape",
)


def is_upstream(config: Mapping[str, Any]) -> bool:
  """Returns whether a config is one of MAGVIT's."""
  return "model_class" in config


def to_sections(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns one of MAGVIT's configs in the sections of `configs/traj3d.py`.

  Raises:
    ValueError: `config.model_class` is unknown.
  """
  model_class = config["model_class"]
  if model_class not in MODEL_CLASSES:
    raise ValueError(
      f"config.model_class={model_class!r} is unknown; use one of "
      f"{', '.join(MODEL_CLASSES)}."
    )
  sections = {name: config[name] for name in _SAME if name in config}
  sections |= {
    "seed": config["rng_seed"],
    "videos": _videos(config),
    "checkpoints": {"num_to_keep": config["checkpoints"]["num_to_keep"]},
    "evaluation": {
      "batch_size": config["eval_batch_size"],
      "num_clips": config["num_eval_examples"],
    },
  }
  network = "tokenizer" if model_class == "VQGAN" else "transformer"
  trained = [] if config["eval_only"] else [network]
  sections["stages"] = ",".join([*trained, "evaluate", "report"])
  if network == "tokenizer":
    return sections | _tokenizer_sections(config)
  return sections | _transformer_sections(config)


def _videos(config: Mapping[str, Any]) -> dict[str, Any]:
  options = dict(config["dataset_configs"])
  is_image = config["dataset_type"] == "image"
  num_frames = options.pop("num_frames")
  return {
    "dataset_name": config["dataset_name"],
    "dataset_type": config["dataset_type"],
    "image_size": config["image_size"],
    "num_frames": 1 if is_image else num_frames,
    "num_classes": options.pop("num_classes"),
    "data_dir": options.get("data_dir"),
    "options": options,
  }


def _training(config: Mapping[str, Any]) -> dict[str, Any]:
  optimizer, rates = config["optimizer"], config["lr_configs"]
  names = ("beta1", "beta2", "weight_decay", "max_grad_norm")
  return {
    "batch_size": config["batch_size"],
    "gradient_accumulation_steps": config["gradient_accumulation_steps"],
    "warmup_steps": rates["warmup_steps"],
    "optimizer": {name: optimizer[name] for name in names},
    "num_steps": config["num_training_steps"] or rates["steps_per_cycle"],
    "log_every_steps": config["log_summary_steps"],
    "validate_every_steps": config["log_eval_steps"],
    "checkpoint_every_steps": config["checkpoint_steps"],
    "best_metric": config["checkpoints"]["best_metric"],
    "num_validation_clips": config["num_eval_examples"],
  }


def _tokenizer_sections(config: Mapping[str, Any]) -> dict[str, Any]:
  optimizer, base = config["optimizer"], config["lr_configs"]
  rates = {
    name: base["base_learning_rate"]
    if optimizer[name] is None
    else optimizer[name]
    for name in ("g_lr", "d_lr")
  }
  vqgan = dict(config["vqgan"]) | _BEYOND_UPSTREAM
  if config["dataset_type"] == "image":
    vqgan["num_train_sampled_frames"] = None  # There is but one.
  if config["eval_only"]:
    vqgan["perceptual_loss_weight"] = 0.0  # No need of its weights.
  crop = {"crop": config["crop"]} if "crop" in config else {}
  return {
    "discriminator": config["discriminator"],
    "vqgan": vqgan,
    "train_tokenizer": _training(config) | rates | crop,
  }


def _transformer_sections(config: Mapping[str, Any]) -> dict[str, Any]:
  transformer = dict(config["transformer"])
  training = _training(config) | {
    "learning_rate": config["lr_configs"]["base_learning_rate"],
    "label_smoothing": transformer.pop("label_smoothing"),
  }
  sampling = {"sampling": config["sampling"]}
  if config["model_class"] == "LMGVT":
    sections = {"lmgvt": sampling}
  else:
    masks = {name: transformer.pop(name) for name in _MASK_FIELDS}
    inpainting = config["bug_patches"]["inpainting_token"]
    masks["inpainting_token"] = inpainting
    sections = {"maskgvt": masks | sampling, "tasks": config["tasks"]}
  return sections | {
    "transformer": transformer,
    "train_transformer": training,
  }
