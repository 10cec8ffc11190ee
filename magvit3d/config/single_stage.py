"""Turns upstream's single-stage configs into the blocks that stages read.

Upstream's files describe one stage each, with names of their own; the stages
read blocks as in `configs/traj3d.py`. What those have beyond upstream is off.
"""

from collections.abc import Mapping
from typing import Any

MODEL_CLASSES = ("VQGAN", "MaskGVT", "LMGVT")
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


def stage_blocks(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns `config` in the blocks of `configs/traj3d.py`.

  Raises:
    ValueError: `config.model_class` is unknown.
  """
  model_class = config["model_class"]
  if model_class not in MODEL_CLASSES:
    raise ValueError(
      f"config.model_class={model_class!r} is unknown; use one of "
      f"{', '.join(MODEL_CLASSES)}."
    )
  blocks = {
    "seed": config["rng_seed"],
    "dtype": config["dtype"],
    "vqvae": config["vqvae"],
  }
  if model_class == "VQGAN":
    return blocks | _tokenizer_blocks(config)
  return blocks | _transformer_blocks(config)


def num_steps(config: Mapping[str, Any]) -> int:
  """Returns the steps of the whole stage."""
  return config["num_training_steps"] or config["lr_configs"]["steps_per_cycle"]


def _training_block(config: Mapping[str, Any]) -> dict[str, Any]:
  names = ("beta1", "beta2", "weight_decay", "max_grad_norm")
  return {
    "batch_size": config["batch_size"],
    "gradient_accumulation_steps": config["gradient_accumulation_steps"],
    "warmup_steps": config["lr_configs"]["warmup_steps"],
    "optimizer": {name: config["optimizer"][name] for name in names},
  }


def _tokenizer_blocks(config: Mapping[str, Any]) -> dict[str, Any]:
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
  return {
    "discriminator": config["discriminator"],
    "vqgan": vqgan,
    "train_tokenizer": _training_block(config) | rates,
  }


def _transformer_blocks(config: Mapping[str, Any]) -> dict[str, Any]:
  transformer = dict(config["transformer"])
  training = _training_block(config) | {
    "learning_rate": config["lr_configs"]["base_learning_rate"],
    "label_smoothing": transformer.pop("label_smoothing"),
  }
  sampling = {"sampling": config["sampling"]}
  if config["model_class"] == "LMGVT":
    blocks = {"lmgvt": sampling}
  else:
    masks = {name: transformer.pop(name) for name in _MASK_FIELDS}
    inpainting = config["bug_patches"]["inpainting_token"]
    masks["inpainting_token"] = inpainting
    blocks = {"maskgvt": masks | sampling, "tasks": config["tasks"]}
  return blocks | {"transformer": transformer, "train_transformer": training}
