"""The overfit check of the networks of a run, one after the other."""

import dataclasses

import numpy as np
from jaxtyping import PyTree

from magvit3d.config.run import RunConfig
from magvit3d.errors import as_user_errors
from magvit3d.evaluation import transformer_scores
from magvit3d.parallel import sharding
from magvit3d.run import overfit
from magvit3d.run.data import RunData
from magvit3d.run.stages import TokenRun
from magvit3d.run.video_data import VideoData
from magvit3d.tokens.masked_model import TokenBatch, TokenModel
from magvit3d.training.tokenizer_stage import TokenizerStage


def overfit_networks(run: TokenRun) -> list[overfit.Verdict]:
  """Trains the tokenizer on a batch, then the transformer on its tokens.

  Args:
    run: With complete data; nothing is saved. One without a tokenizer of its
      own trains the transformer on those of the one it names.
  """
  config = overfit.make_config(run.config)
  verdicts = []
  if config.train_tokenizer:
    verdicts.append(_overfit_tokenizer(run, config))
    params = sharding.replicate(verdicts[0].state.g_params, run.mesh)
  elif config.train_transformer:
    params = run.networks.tokenizer_params()
  if config.train_transformer:
    verdicts.append(_overfit_transformer(run, config, params))
  return verdicts


def _overfit_tokenizer(run: TokenRun, config: RunConfig) -> overfit.Verdict:
  clips = _some_samples(run.data, config.train_tokenizer.batch_size, 1)
  frames = clips["frames"] if config.vqgan.codebook_init_clips else None
  with as_user_errors(ValueError):
    stage = TokenizerStage(
      config, overfit.MANY_STEPS, run.networks.clip_shape, frames
    )
  target = overfit.TARGETS["tokenizer"]
  return overfit.train("tokenizer", stage, clips, target, run.mesh)


def _overfit_transformer(
  run: TokenRun, config: RunConfig, params: PyTree
) -> overfit.Verdict:
  model = run.networks.token_model(config=config)
  stage = run.networks.transformer_stage(
    model, params, overfit.MANY_STEPS, config
  )
  num_views = run.networks.num_views("transformer")
  batch = _some_samples(
    run.data, config.train_transformer.batch_size, num_views
  )
  if isinstance(model, TokenModel):
    tokenize = transformer_scores.make_tokenize(
      model, len(batch["labels"]), run.mesh
    )
    batch = _as_batch(tokenize(params, batch))
  target = overfit.TARGETS["transformer"]
  return overfit.train("transformer", stage, batch, target, run.mesh)


def _some_samples(
  data: RunData | VideoData, num_clips: int, num_views: int
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
