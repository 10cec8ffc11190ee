"""The overfit check of both networks of a run, one after the other."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from magvit3d import overfit, sharding
from magvit3d.errors import as_user_errors
from magvit3d.evaluation import transformer_scores
from magvit3d.run_data import RunData
from magvit3d.run_networks import RunNetworks
from magvit3d.training.tokenizer import TokenizerStage
from magvit3d.training.transformer import TransformerStage


def overfit_networks(
  config: Mapping[str, Any], data: RunData, networks: RunNetworks, mesh: Mesh
) -> list[overfit.Verdict]:
  """Trains the tokenizer on a batch, then the transformer on its tokens.

  Args:
    config: See `configs/traj3d.py`.
    data: Complete.
    networks: Of the run; nothing is saved.
    mesh: Devices.
  """
  config = overfit.make_config(config)
  clips = _some_clips(data, config["train_tokenizer"]["batch_size"])
  with as_user_errors(ValueError):
    stage = TokenizerStage(
      config, overfit.MANY_STEPS, networks.clip_shape, clips["frames"]
    )
  target = overfit.TARGETS["tokenizer"]
  tokenizer = overfit.train("tokenizer", stage, clips, target, mesh)
  params = sharding.replicate(tokenizer.state.g_params, mesh)

  clips = _some_clips(data, config["train_transformer"]["batch_size"])
  model = networks.token_model(config=config)
  tokenize = transformer_scores.make_tokenize(model, len(clips["labels"]), mesh)
  batch = dataclasses.asdict(tokenize(params, clips))
  with as_user_errors(ValueError):
    stage = TransformerStage(config, model, overfit.MANY_STEPS, params)
  target = overfit.TARGETS["transformer"]
  transformer = overfit.train("transformer", stage, batch, target, mesh)
  return [tokenizer, transformer]


def _some_clips(data: RunData, count: int) -> dict[str, np.ndarray]:
  clips = data.some_clips("train", 4 * count)
  rows = overfit.pick_rows(clips["labels"], count)
  return {key: clips[key][rows] for key in ("frames", "masks", "labels")}
