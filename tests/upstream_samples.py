"""Small parameter trees, and checkpoints of them in upstream's layouts."""

import copy
import pathlib
from typing import Any

import jax
import ml_collections as mlc
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from magvit3d.upstream import networks

STEP = 1234
_VQVAE = {
  "architecture": "3dcnn",
  "filters": 4,
  "channel_multipliers": (1, 2),
  "temporal_downsample": (True,),
  "num_enc_res_blocks": 1,
  "num_dec_res_blocks": 1,
  "conv_downsample": False,
  "upsample": "nearest",
  "norm_type": "LN",
  "activation_fn": "swish",
  "codebook_size": 16,
  "embedding_dim": 6,
  "commitment_cost": 0.25,
  "entropy_loss_ratio": 0.1,
  "entropy_loss_type": "softmax",
  "entropy_temperature": 0.01,
}


def make_config(**vqvae: Any) -> dict[str, Any]:
  """Returns a config of small networks; `vqvae` overrides fields of its own."""
  return copy.deepcopy(
    {
      "dtype": "float32",
      "data": {"num_frames": 4, "image_size": 8},
      "vqvae": _VQVAE | vqvae,
      "discriminator": {"filters": 2, "channel_multipliers": (1, 2)},
      "transformer": {
        "num_layers": 1,
        "hidden_size": 8,
        "mlp_dim": 16,
        "num_heads": 2,
      },
      "tasks": {
        "full_generation": {"weight": 1.0, "class_conditional": True},
      },
      "maskgvt": {
        "condition_mode": None,
        "multi_task": True,
        "inpainting_token": False,
      },
    }
  )


def get_config() -> mlc.ConfigDict:
  """The same for `--config`, which takes this very file."""
  return mlc.ConfigDict(make_config())


def make_params(kind: str, seed: int = 0, **vqvae: Any) -> dict[str, Any]:
  """Draws all trees of a kind, each leaf normal and its own; NumPy."""
  shapes = jax.eval_shape(
    lambda: networks.fresh_params(make_config(**vqvae), kind)
  )
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes
  )


def tokenizer_states() -> dict[str, dict[str, Any]]:
  """A tokenizer in each layout; upstream's facts name the keys."""
  trees = make_params("tokenizer")
  optimizer = {"0": {"count": np.int32(STEP), "mu": trees["g_params"]}}
  rng = np.array([0, 7], np.uint32)

  def older(params):
    state = {"step": np.int32(STEP), "param_states": {}}
    return {"target": params, "state": state}

  return {
    "tokenizer": trees
    | {
      "global_step": STEP,
      "g_opt_state": optimizer,
      "d_opt_state": {"0": {}},
      "g_model_state": {},
      "d_model_state": {},
      "rng": rng,
      "metadata": {"lecam_ema_real": np.float32(0.5)},
    },
    "older tokenizer": {
      "global_step": STEP,
      "g_optimizer": older(trees["g_params"]),
      "d_optimizer": older(trees["d_params"]),
      "generator_state": {},
      "discriminator_state": {},
      "ema_params": trees["ema_params"],
      "rng": rng,
    },
    "tokenizer's variables": {"params": trees["ema_params"]},
    "tokenizer's parameters": trees["ema_params"],
  }


def transformer_states() -> dict[str, dict[str, Any]]:
  """A transformer in each layout."""
  params = make_params("transformer")["params"]
  state = {"step": np.int32(STEP), "param_states": {}}
  return {
    "transformer": {
      "params": params,
      "model_state": {},
      "opt_state": {"0": {"mu": params}},
      "global_step": STEP,
    },
    "older transformer": {"optimizer": {"target": params, "state": state}},
    "transformer's parameters": params,
  }


def write_file(path: pathlib.Path, state: Any) -> pathlib.Path:
  """Writes one msgpack file, as Flax does."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(serialization.msgpack_serialize(state))
  return path


def write_orbax(
  path: pathlib.Path, state: Any, use_ocdbt: bool = True
) -> pathlib.Path:
  """Writes a folder, as `flax.training.checkpoints` does through Orbax."""
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=use_ocdbt)
  with ocp.Checkpointer(handler) as writer:
    writer.save(path.absolute(), state)
  return path


def assert_same_tree(found: Any, expected: Any) -> None:
  """Compares structure and bits."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
