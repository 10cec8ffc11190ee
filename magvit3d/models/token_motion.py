"""Convolutions over single tokens, around a transformer of patches.

The hidden state of a patch knows what moves there and where to, and is a poor
place for the looks of each token. So it says from where in the frame before a
token comes: kernels over the neighbourhood, as in dynamic filter networks
(https://arxiv.org/abs/1605.09673); for frames that actions drive that is Finn
et al., https://arxiv.org/abs/1605.07157. Ours: what is moved are features of
tokens, not pixels, and convolutions say the codes from them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from magvit3d.models.clip_units import FrameConv

_PAST = 2  # Frames before, that the features of a frame and its past need.


def to_patches(
  x: Shaped[Array, "b t h w c"], patch: int
) -> Shaped[Array, "b n d"]:
  """Returns what each patch has, frame after frame."""
  b, t, h, w, c = x.shape
  x = x.reshape(b, t, h // patch, patch, w // patch, patch, c)
  return x.transpose(0, 1, 2, 4, 3, 5, 6).reshape(
    b, t * (h // patch) * (w // patch), patch * patch * c
  )


def from_patches(
  x: Float[Array, "b n d"], patch: int, shape: tuple[int, ...]
) -> Float[Array, "b t h w c"]:
  """Undoes `to_patches`; `shape` is (b, t, h, w)."""
  b, t, h, w = shape
  x = x.reshape(b, t, h // patch, w // patch, patch, patch, -1)
  return x.transpose(0, 1, 2, 4, 3, 5, 6).reshape(b, t, h, w, -1)


class TokenFeatures(nn.Module):
  """Reads each token, its neighbours and the same in the frame before.

  Attributes:
    num_ids: Ids of a token; negative ones count from the end.
    features: Channels, c.
    num_frames: Of the longest clip.
    dtype: Of the products.
  """

  num_ids: int
  features: int
  num_frames: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    tokens: Int[Array, "b t h w"],
    sees_past: Bool[Array, " b"] | None = None,
    start: Int[Array, ""] | int | None = None,
  ) -> tuple[Float[Array, "b t h w c"], Float[Array, "b t h w c"]]:
    """Returns features of each frame, and of the frame before it.

    Args:
      tokens: Ids.
      sees_past: Whether frames of a clip see earlier ones; None: all do.
      start: The frame that `tokens` begin with; earlier ones are in the
        collection "cache", and get these; None: they are the whole clip.
    """
    b, t, h, w = tokens.shape
    if start is None:
      frames = jnp.pad(tokens, ((0, 0), (_PAST, 0), (0, 0), (0, 0)))
    else:
      length = self.num_frames + _PAST
      cached = self.variable(
        "cache", "cached_tokens", jnp.zeros, (b, length, h, w), tokens.dtype
      )
      cached.value = jax.lax.dynamic_update_slice_in_dim(
        cached.value, tokens, start + _PAST, axis=1
      )
      frames = jax.lax.dynamic_slice_in_dim(
        cached.value, start, t + _PAST, axis=1
      )
    number = (0 if start is None else start) + jnp.arange(-_PAST, t)
    is_there = (number >= 0)[None, :, None, None, None]
    sees = jnp.ones(b, bool) if sees_past is None else sees_past
    sees = sees[:, None, None, None, None]
    frames = jnp.where(frames < 0, frames + self.num_ids, frames)
    ids = jax.nn.one_hot(frames, self.num_ids, dtype=self.dtype) * is_there
    x = jnp.concatenate([ids[:, 1:], ids[:, :-1] * sees], axis=-1)
    x = nn.Dense(self.features, dtype=self.dtype, name="embed")(x)
    x = FrameConv(self.features, (3, 3), self.dtype, name="conv")(x)
    x = nn.gelu(x, approximate=True)
    return x[:, 1:], x[:, :-1] * (is_there[:, 1:-1] & sees)


class MovedTokens(nn.Module):
  """Says codes from features of a frame, and those before it, moved.

  Attributes:
    num_ids: Ids of a token.
    patch: Tokens of a patch's side.
    num_kernels: Kernels of a token; divides the features, each moves a part.
    radius: Tokens that a kernel reaches to each side.
    width: Channels of the convolutions.
    num_layers: Of these.
    dtype: Of the products.
  """

  num_ids: int
  patch: int
  num_kernels: int
  radius: int
  width: int
  num_layers: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    hidden: Float[Array, "b n d"],
    features: Float[Array, "b t h w c"],
    before: Float[Array, "b t h w c"],
  ) -> Float[Array, "b t h w k"]:
    """Returns float32 logits over all ids.

    Args:
      hidden: Of the patches.
      features: Of the tokens, see `TokenFeatures`.
      before: The same, one frame earlier.
    """
    *shape, channels = features.shape
    x = nn.Dense(
      self.patch**2 * channels, dtype=self.dtype, name="from_patches"
    )(hidden)
    x = from_patches(x, self.patch, tuple(shape))
    side = 2 * self.radius + 1
    kernels = nn.Dense(
      self.num_kernels * side**2, dtype=self.dtype, name="kernels"
    )(x)
    kernels = nn.softmax(kernels.reshape(*shape, self.num_kernels, side**2))
    moved = move(before, kernels, self.radius)
    x = jnp.concatenate([x, features, before, moved], axis=-1)
    for number in range(self.num_layers):
      x = FrameConv(self.width, (3, 3), self.dtype, name=f"conv_{number}")(x)
      x = nn.gelu(x, approximate=True)
    logits = nn.Dense(self.num_ids, dtype=self.dtype, name="logits")(x)
    return logits.astype(jnp.float32)


def move(
  features: Float[Array, "b t h w c"],
  kernels: Float[Array, "b t h w n k"],
  radius: int,
) -> Float[Array, "b t h w c"]:
  """Returns what each token's kernels gather around it.

  Args:
    features: Of tokens; outside of the frame they are 0.
    kernels: Weights of (2 radius + 1)^2 places, row by row; each of the n
      kernels is for a part of the features.
    radius: Tokens that a kernel reaches to each side.
  """
  *shape, channels = features.shape
  side, (h, w) = 2 * radius + 1, shape[2:]
  num_kernels = kernels.shape[-2]
  parts = features.reshape(*shape, num_kernels, channels // num_kernels)
  edge, none = (radius, radius), (0, 0)
  padded = jnp.pad(parts, (none, none, edge, edge, none, none))
  moved = jnp.zeros_like(parts)
  # Split, not indexed: gradients are put together once, not padded and added.
  weights = lax.split(kernels, (1,) * side**2, axis=kernels.ndim - 1)
  for place, weight in enumerate(weights):
    down, right = divmod(place, side)
    moved += weight * padded[:, :, down : down + h, right : right + w]
  return moved.reshape(features.shape)
