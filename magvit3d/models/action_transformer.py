"""BERT over clips of tokens that share positions, patch by patch."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from magvit3d.config.world_model import MotionConfig
from magvit3d.models.bert import Bert
from magvit3d.models.token_motion import (
  MovedTokens,
  TokenFeatures,
  from_patches,
  to_patches,
)


class ActionTransformer(nn.Module):
  """Says the tokens of clips, told an action a frame.

  Attributes:
    bert: Of the patches; its parameters are this one's own.
    grid: (t, h, w) of the longest clip.
    patch: Tokens of a patch's side.
    motion: Convolutions around it.
  """

  bert: Bert
  grid: tuple[int, int, int]
  patch: int
  motion: MotionConfig

  @property
  def num_ids(self) -> int:
    """Ids of a token."""
    return self.bert.vocab_size // self.patch**2

  def setup(self):
    nn.share_scope(self, self.bert)
    motion = self.motion
    if motion.features:
      self.stem = TokenFeatures(
        self.num_ids, motion.features, self.grid[0], self.bert.dtype
      )
      self.stem_dense = nn.Dense(self.bert.hidden_size, dtype=self.bert.dtype)
      self.head = MovedTokens(
        self.num_ids,
        self.patch,
        motion.num_kernels,
        motion.radius,
        motion.width,
        motion.num_layers,
        self.bert.dtype,
      )

  def __call__(
    self,
    tokens: Int[Array, "b t h w"],
    actions: Float[Array, "b t a"] | None = None,
    sees_past: Bool[Array, " b"] | None = None,
    start: Int[Array, ""] | int | None = None,
  ) -> Float[Array, "b t h w k"]:
    """Returns float32 logits over all ids; arguments are as of `Bert`."""
    ids = to_patches(tokens[..., None], self.patch)
    told = {"actions": actions, "sees_past": sees_past, "start": start}
    if not self.motion.features:
      logits = self.bert(ids, **told)
      return from_patches(logits, self.patch, tokens.shape)
    features, before = self.stem(tokens, sees_past, start)
    added = self.stem_dense(to_patches(features, self.patch))
    hidden = self.bert(ids, **told, added=added.astype(jnp.float32))
    return self.head(hidden, features, before)
