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
      batch = _batch_of_clips(networks.training_shape)
      jax.eval_shape(stage.train_step, state, batch, stage.frozen)
    if config.train_transformer:
      params = networks.tokenizer_shapes()
      model = networks.token_model(data.num_classes())
      stage = networks.transformer_stage(model, params, _MANY_STEPS)
      state = jax.eval_shape(stage.init_state)
      num_views = networks.num_views("transformer")
      batch = _batch_of_clips(networks.clip_shape)
      if num_views > 1:
        batch = _batch_of_scenes(networks.clip_shape, num_views)
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


def _batch_of_clips(
  clip_shape: tuple[int, int, int, int],
) -> dict[str, jax.ShapeDtypeStruct]:
  return {
    "frames": jax.ShapeDtypeStruct((1, *clip_shape), np.uint8),
    "masks": jax.ShapeDtypeStruct((1, *clip_shape[:-1]), np.uint8),
    "labels": jax.ShapeDtypeStruct((1,), np.int32),
  }


def _batch_of_scenes(
  clip_shape: tuple[int, int, int, int], num_views: int
) -> dict[str, jax.ShapeDtypeStruct]:
  def of(dtype, *shape):
    return jax.ShapeDtypeStruct((1, *shape), dtype)

  return {
    "frames": of(np.uint8, num_views, *clip_shape),
    "labels": of(np.int32),
    "views": of(np.int32, num_views),
    "intrinsics": of(np.float32, num_views, 3, 3),
    "camera_from_world": of(np.float32, num_views, 3, 4),
  }
