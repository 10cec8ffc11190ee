"""What the transformer's last layer makes of tokens, for probes."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from magvit3d.models.cameras import Cameras
from magvit3d.tokens import masking
from magvit3d.tokens.masked_model import TokenModel


def features(
  model: TokenModel,
  params: PyTree,
  tokens: Int[Array, "b t h w"],
  cameras: Cameras | None = None,
) -> Float[Array, "b t h w d"]:
  """Returns its states of tokens, none of them hidden.

  It sees neither class nor condition.
  """
  nothing = jnp.zeros(tokens.shape, bool)
  masked = masking.apply_mask(
    tokens, tokens, nothing, nothing, None, "mask+refine"
  )
  labels = jnp.zeros(tokens.shape[0], jnp.int32)
  sequence = model.sequence(masked, labels, tokens, 0)
  return _hidden_states(
    model,
    params,
    sequence.uncond_masked_inputs,
    jnp.zeros_like(sequence.segment_ids),
    cameras,
  )


def given_features(
  model: TokenModel,
  params: PyTree,
  cond_tokens: Int[Array, "b t h w"],
  task_index: int,
  cameras: Cameras | None = None,
) -> Float[Array, "b t h w d"]:
  """Returns those of what a task gives, before anything is decoded.

  Args:
    model: The transformer with its tasks.
    params: Of the transformer.
    cond_tokens: What the task shows.
    task_index: Of a task that is not class-conditional.
    cameras: Of the views.
  """
  mode = model.tasks[task_index].mask_mode
  cond_mask = model.cond_mask(task_index)
  masked = masking.apply_mask(
    cond_tokens,
    cond_tokens,
    cond_mask,
    masking.is_maskable(cond_mask, mode, cond_tokens.shape),
    mode,
    "mask+refine",
  )
  labels = jnp.zeros(cond_tokens.shape[0], jnp.int32)
  sequence = model.sequence(masked, labels, cond_tokens, task_index)
  return _hidden_states(
    model, params, sequence.masked_inputs, sequence.segment_ids, cameras
  )


def _hidden_states(model, params, ids, segment_ids, cameras):
  last = f"BertLayer_{model.transformer.num_layers - 1}"
  _, found = model.transformer.apply(
    {"params": params},
    ids,
    segment_ids if model.transformer.num_segments else None,
    model.camera_argument(cameras),
    capture_intermediates=lambda module, _: module.name == last,
    mutable=["intermediates"],
  )
  states = found["intermediates"][last]["__call__"][0]
  states = states[:, model.prefix_length :]
  return states.reshape(
    ids.shape[0], -1, *model.latent_shape[1:], states.shape[-1]
  )
