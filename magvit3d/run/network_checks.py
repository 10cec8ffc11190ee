"""Traces a step of both stages, so that wrong fields are met at the start."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage

_MANY_STEPS = 2**31 - 1


def trace_steps(
  config: Mapping[str, Any],
  clip_shape: tuple[int, int, int, int],
  training_shape: tuple[int, int, int, int],
  model: TokenModel,
) -> None:
  """Traces a step of each stage without values: seconds, even for `:L`.

  Args:
    config: See `configs/traj3d.py`.
    clip_shape: Of a clip: t, h, w, 3.
    training_shape: Of what the tokenizer trains on.
    model: Of the transformer's tokens.

  Raises:
    ValueError: A field of the config is wrong.
  """
  tokenizer = TokenizerStage(config, _MANY_STEPS, training_shape)
  state = jax.eval_shape(tokenizer.init_state)
  batch = _batch_of_clips(training_shape)
  jax.eval_shape(tokenizer.train_step, state, batch, tokenizer.frozen)
  params = state.ema_params
  transformer = TransformerStage(config, model, _MANY_STEPS, params)
  state = jax.eval_shape(transformer.init_state)
  batch = _batch_of_clips(clip_shape)
  if model.num_views > 1:
    batch = _batch_of_scenes(clip_shape, model.num_views)
  jax.eval_shape(transformer.train_step, state, batch, params)


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
