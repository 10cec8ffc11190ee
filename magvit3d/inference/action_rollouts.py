"""What a world model makes of given frames and actions, batch by batch."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, PyTree, UInt8

from magvit3d.inference.batched import map_batches
from magvit3d.tokens import pixel_levels
from magvit3d.tokens.action_model import ActionModel
from magvit3d.tokens.vocabulary import MASK


class ActionRollouts:
  """Clips of a world model, compiled once for each number of given frames.

  Args:
    model: Network, tokens and sampler.
    batch_size: Clips at a time, over all devices.
    mesh: Devices.
  """

  def __init__(self, model: ActionModel, batch_size: int, mesh: Mesh):
    self._model, self._batch_size, self._mesh = model, batch_size, mesh
    self._decode = jax.jit(self._decode_batch, static_argnums=2)

  def roll_out(
    self,
    params: PyTree,
    clips: UInt8[np.ndarray, "n t h w"],
    actions: Float[np.ndarray, "n t a"],
    is_told: Bool[np.ndarray, "n t"],
    given_frames: int,
    seed: int = 0,
  ) -> UInt8[np.ndarray, "n t h w"]:
    """Returns the clips as the model sees them go on.

    Args:
      params: Of the model.
      clips: Whole; frames behind the given ones are not read.
      actions: Since the frame before, of each frame, in the data's unit.
      is_told: Of each frame, whether the model is told it.
      given_frames: First frames that the model sees.
      seed: The same one makes the same clips.
    """
    arrays = {
      "frames": clips,
      "actions": actions,
      "is_told": is_told,
      "number": np.arange(len(clips), dtype=np.int32),
    }
    tokens = map_batches(
      lambda batch: self._decode(params, batch, given_frames, seed),
      arrays,
      self._batch_size,
      self._mesh,
    )
    return pixel_levels.to_frames(tokens, self._model.config.num_levels)

  def _decode_batch(self, params, batch, given_frames, seed):
    model = self._model
    tokens = pixel_levels.to_tokens(batch["frames"], model.config.num_levels)
    is_given = jnp.arange(tokens.shape[1]) < given_frames
    tokens = jnp.where(is_given[None, :, None, None], tokens, MASK)
    actions = model.action_inputs(batch["actions"], batch["is_told"])
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    keys = fold(jax.random.key(seed), batch["number"])
    return model.generate(params, keys, tokens, actions, given_frames).tokens
