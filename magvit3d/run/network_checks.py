"""Traces a step of each stage, so that wrong fields are met at the start."""

import jax
import numpy as np

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError, as_user_errors
from magvit3d.parallel.sharding import check_batch_size
from magvit3d.run.data import RunData
from magvit3d.run.networks import RunNetworks
from magvit3d.run.video_data import VideoData
from magvit3d.training.tokenizer_stage import TokenizerStage

_MANY_STEPS = 2**31 - 1


def trace_steps(
  config: RunConfig, networks: RunNetworks, data: RunData | VideoData
) -> None:
  """Traces a step of each stage without values: seconds, even for `:L`.

  Raises:
    UserError: A field of the config is wrong.
  """
  with as_user_errors(ValueError):
    if config.train_tokenizer:
      stage = TokenizerStage(config, _MANY_STEPS, networks.training_shape)
      state = jax.eval_shape(stage.init_state)
      batch = batch_shapes(config, networks, data, "tokenizer", 1)
      jax.eval_shape(stage.train_step, state, batch, stage.frozen)
    if config.train_transformer:
      params = networks.tokenizer_shapes()
      model = networks.token_model(data.num_classes())
      stage = networks.transformer_stage(model, params, _MANY_STEPS)
      state = jax.eval_shape(stage.init_state)
      num_clips = networks.num_views("transformer")
      batch = batch_shapes(config, networks, data, "transformer", num_clips)
      jax.eval_shape(stage.train_step, state, batch, params)


def check_batches(
  config: RunConfig, networks: RunNetworks, data: RunData | VideoData
) -> None:
  """Raises UserError if batches do not divide into samples and devices."""
  mesh = networks.mesh
  for stage in (*config.trained, "evaluation"):
    num_views = networks.num_views(stage)
    if stage == "evaluation":
      section, field = config.evaluation, "evaluation.batch_size"
      num_parts, per_sample = 1, num_views
    else:
      section, field = config.training(stage), f"train_{stage}.batch_size"
      num_parts = section.gradient_accumulation_steps
      per_sample = data.views_per_sample(num_views)
    if section.batch_size % per_sample:
      raise UserError(
        f"config.{field}={section.batch_size} counts clips, and samples of "
        f"scenes have {per_sample} (config.input, "
        "config.transformer.num_views). Use a multiple of that."
      )
    check_batch_size(
      config.name(field),
      section.batch_size // num_views,
      mesh,
      num_parts,
      clips_per_sample=num_views,
    )


def batch_shapes(
  config: RunConfig,
  networks: RunNetworks,
  data: RunData | VideoData,
  stage: str,
  num_clips: int,
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of a training batch, as the run reads it.

  Args:
    config: Of the run.
    networks: Of the run.
    data: Of the run; need not be there.
    stage: 'tokenizer' or 'transformer'.
    num_clips: Of the batch; those of scenes with several views in samples.
  """
  num_views = networks.num_views(stage)
  rows = num_clips // num_views
  views = (num_views,) if num_views > 1 else ()

  def of(dtype, *shape):
    return jax.ShapeDtypeStruct((rows, *shape), dtype)

  batch = {"labels": of(np.int32)}
  if stage == "tokenizer":
    shape = networks.training_shape
    batch |= {"masks": of(np.uint8, *shape[:-1])}
    return batch | {"frames": of(np.uint8, *shape)}
  if num_views > 1:
    batch |= camera_shapes(rows, num_views)
  if isinstance(data, RunData) and config.tokenizer_cache:
    steps, *cells = networks.latent_shape
    grid = (num_views * steps, *cells)
    num_tasks = sum(
      task is None or task.weight > 0 for task in config.tasks.values()
    )
    return batch | {
      "tokens": of(np.int32, *grid),
      "cond_tokens": of(np.int32, num_tasks, *grid),
    }
  return batch | {"frames": of(np.uint8, *views, *networks.clip_shape)}


def camera_shapes(rows: int, num_views: int) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of the cameras of scenes, by field of `Cameras`."""
  return {
    "views": jax.ShapeDtypeStruct((rows, num_views), np.int32),
    "intrinsics": jax.ShapeDtypeStruct((rows, num_views, 3, 3), np.float32),
    "camera_from_world": jax.ShapeDtypeStruct(
      (rows, num_views, 3, 4), np.float32
    ),
  }
