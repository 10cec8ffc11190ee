"""Filling in tokens of which some are known, without any chance."""

import jax
from jaxtyping import Array, Bool, Int, PyTree

from magvit3d.models.cameras import Cameras
from magvit3d.tokens import decoding
from magvit3d.tokens.masked_model import TokenModel


def complete(
  model: TokenModel,
  params: PyTree,
  task_index: int,
  labels: Int[Array, " b"],
  tokens: Int[Array, "b t h w"],
  is_known: Bool[Array, "b t h w"],
  cameras: Cameras | None = None,
) -> Int[Array, "b t h w"]:
  """Fills in the likeliest tokens where they are not known.

  In as many steps as `TokenModel.generate` has.

  Args:
    model: The transformer with its tasks.
    params: Of the transformer.
    task_index: Of a task without condition.
    labels: Classes; ignored by a task without.
    tokens: What is known; the others are not looked at.
    is_known: Where, not everywhere.
    cameras: Of the views.
  """

  def logits_fn(shown):
    sequence = model.sequence(shown, labels, tokens, task_index)
    logits = model.logits(params, sequence, cameras)[:, model.prefix_length :]
    return logits.reshape(*tokens.shape, -1)

  return decoding.decode(
    jax.random.key(0),
    logits_fn,
    tokens.shape,
    tokens,
    kept=is_known,
    num_iter=model.settings.sampling.mask_bins,
    schedule=model.settings.mask_schedule,
    mask_temperature=0.0,
    sampling_temperature=0.0,
  ).tokens[-1]
