"""A causal transformer over objects and frames: which objects stay?

An entry is an object in a frame. It attends to objects that are seen in its own
frame or an earlier one, and to all of its own object up to now, in sight or
not; objects have no order, and an entry knows of another only how many frames
ago it is, and whether it is the same object's. Nothing that a later frame shows
changes an answer.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

NUM_PLACES = 4  # Is it seen; its area; row and column of its middle.
WEIGHTS = "attention"  # Of each layer, in the collection 'intermediates'.
_TIME_STDDEV = 1.0  # As large as an entry.


def visible_keys(is_seen: Bool[Array, "b o t"]) -> Bool[Array, "b n n"]:
  """Returns which entries (key, last axis) an entry (query) attends to.

  Args:
    is_seen: Whether pixels of an object are in sight, by frame; n = o * t, and
      entry o * t + i is object o in frame i.
  """
  count, num_objects, num_frames = is_seen.shape
  frames = jnp.tile(jnp.arange(num_frames), num_objects)
  is_past = frames[None, :] <= frames[:, None]
  objects = jnp.repeat(jnp.arange(num_objects), num_frames)
  is_own = objects[None, :] == objects[:, None]
  keys = is_seen.reshape(count, 1, -1)
  return (keys | is_own[None]) & is_past[None]


class CausalAttention(nn.Module):
  """Attention over entries, with a bias for each head, kind and lag.

  Kinds: keys of other objects, and of one's own. Relative position biases as of
  T5 (arXiv:1910.10683), without buckets.
  """

  num_heads: int
  num_frames: int

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "b n d"],
    is_visible: Bool[Array, "b n n"],
    is_own: Int[Array, "n n"],
    lag: Int[Array, "n n"],
  ) -> Float[Array, "b n d"]:
    width = x.shape[-1]
    project = functools.partial(
      nn.DenseGeneral, features=(self.num_heads, width // self.num_heads)
    )
    query, key, value = (project(name=n)(x) for n in ("query", "key", "value"))
    shape = (self.num_heads, 2, self.num_frames)
    bias = self.param("bias", nn.initializers.zeros, shape)
    scores = jnp.einsum("bnhd,bmhd->bhnm", query, key)
    scores *= (width // self.num_heads) ** -0.5
    scores += bias[:, is_own, lag][None]
    hidden = jnp.finfo(scores.dtype).min
    weights = jax.nn.softmax(jnp.where(is_visible[:, None], scores, hidden))
    self.sow("intermediates", WEIGHTS, weights)
    x = jnp.einsum("bhnm,bmhd->bnhd", weights, value)
    return nn.DenseGeneral(width, axis=(-2, -1), name="out")(x)


class PersistenceNetwork(nn.Module):
  """Says of each object, after each frame, whether it stays.

  Attributes:
    width: Of the transformer.
    num_layers: Norms come before, as in GPT-2.
    num_heads: Divides `width`.
    num_frames: That it can take, at most.
  """

  width: int
  num_layers: int
  num_heads: int
  num_frames: int

  @nn.compact
  def __call__(
    self,
    codes: Float[Array, "b o t d"],
    places: Float[Array, "b o t p"],
  ) -> Float[Array, "b o t"]:
    """Returns logits: above 0 it stays.

    Args:
      codes: Mean of the codebook's rows under an object's mask, 0 where it is
        not in sight.
      places: `NUM_PLACES` numbers of the mask: whether it has pixels, its
        share of the frame, row and column of its middle in [-1, 1].
    """
    count, num_objects, num_frames, _ = codes.shape
    is_seen = places[..., 0] > 0
    # The rows of a codebook may be small, and places are about 1.
    codes = nn.LayerNorm(name="codes_ln")(codes) * is_seen[..., None]
    x = nn.Dense(self.width, name="entry")(
      jnp.concatenate([codes, places], axis=-1)
    )
    init = nn.initializers.normal(_TIME_STDDEV)
    times = self.param("time", init, (self.num_frames, self.width))
    x += times[None, None, :num_frames]
    x = x.reshape(count, num_objects * num_frames, self.width)
    is_visible = visible_keys(is_seen)
    objects = jnp.repeat(jnp.arange(num_objects), num_frames)
    is_own = (objects[:, None] == objects[None]).astype(jnp.int32)
    frames = jnp.tile(jnp.arange(num_frames), num_objects)
    lag = jnp.maximum(frames[:, None] - frames[None], 0)
    for layer in range(self.num_layers):
      attend = CausalAttention(
        self.num_heads, self.num_frames, name=f"attention_{layer}"
      )
      x += attend(nn.LayerNorm()(x), is_visible, is_own, lag)
      hidden = nn.Dense(4 * self.width)(nn.LayerNorm()(x))
      x += nn.Dense(self.width)(nn.gelu(hidden))
    logits = nn.Dense(1, name="stays")(nn.LayerNorm()(x))
    return logits.reshape(count, num_objects, num_frames)
