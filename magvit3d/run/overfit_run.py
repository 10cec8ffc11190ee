"""The overfit check of both networks of a run, one after the other."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from magvit3d.errors import as_user_errors
from magvit3d.evaluation import transformer_scores
from magvit3d.parallel import sharding
from magvit3d.run import overfit
from magvit3d.run.data import RunData
from magvit3d.run.networks import RunNetworks
from magvit3d.tokens.masked_model import TokenBatch
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage


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
  clips = _some_samples(data, config["train_tokenizer"]["batch_size"], 1)
  with as_user_errors(ValueError):
    stage = TokenizerStage(
      config, overfit.MANY_STEPS, networks.clip_shape, clips["frames"]
    )
  target = overfit.TARGETS["tokenizer"]
  tokenizer = overfit.train("tokenizer", stage, clips, target, mesh)
  params = sharding.replicate(tokenizer.state.g_params, mesh)

  model = networks.token_model(config=config)
  clips = _some_samples(
    data, config["train_transformer"]["batch_size"], model.num_views
  )
  tokenize = transformer_scores.make_tokenize(model, len(clips["labels"]), mesh)
  batch = _as_batch(tokenize(params, clips))
  with as_user_errors(ValueError):
    stage = TransformerStage(config, model, overfit.MANY_STEPS, params)
  target = overfit.TARGETS["transformer"]
  transformer = overfit.train("transformer", stage, batch, target, mesh)
  return [tokenizer, transformer]


def _some_samples(
  data: RunData, num_clips: int, num_views: int
) -> dict[str, np.ndarray]:
  """Clips, or scenes with several views, of as many classes as there are."""
  samples = data.some_samples("train", 4 * num_clips, num_views)
  rows = overfit.pick_rows(samples["labels"], num_clips // num_views)
  return {key: samples[key][rows] for key in samples if key != "background"}


def _as_batch(tokens: TokenBatch) -> dict[str, np.ndarray]:
  """The tokens as the transformer's batches hold them."""
  batch = {
    field.name: getattr(tokens, field.name)
    for field in dataclasses.fields(tokens)
  }
  seen_by = batch.pop("cameras")
  return batch | (dataclasses.asdict(seen_by) if seen_by else {})
