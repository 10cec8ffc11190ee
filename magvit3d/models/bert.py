"""BERT, the bidirectional transformer that fills in masked tokens.

BERT (https://arxiv.org/abs/1810.04805), post-norm, with the head's product
with the word embedding. Module names are upstream's.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from magvit3d.config.networks import TransformerConfig
from magvit3d.models import cameras, mixed_precision
from magvit3d.models.bert_embeddings import BertEmbed
from magvit3d.models.bert_layers import BertLayer, layer_norm
from magvit3d.models.embeddings import EMBEDDING_INIT, grid_position_init


class Bias(nn.Module):
  """Adds a learned vector to the last axis."""

  @nn.compact
  def __call__(self, x: Float[Array, "b n v"]) -> Float[Array, "b n v"]:
    bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
    return x + bias[None, None]


class BertMlmLayer(nn.Module):
  """Maps hidden states to a float32 logit for every id."""

  dtype: DTypeLike
  kernel_init: Callable

  @nn.compact
  def __call__(
    self, x: Float[Array, "b n d"], embedding: Float[Array, "v d"]
  ) -> Float[Array, "b n v"]:
    x = nn.Dense(
      embedding.shape[-1],
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=mixed_precision.keep_bias,
      name="mlm_dense",
    )(x)
    x = nn.gelu(x.astype(self.dtype), approximate=True)
    x = layer_norm("mlm_ln")(x)
    logits = mixed_precision.matmul_to_float32(
      x.astype(self.dtype), embedding.T.astype(self.dtype)
    )
    return Bias(name="mlm_bias")(logits)


class Bert(nn.Module):
  """Predicts the token at every position of a partly masked sequence.

  Attributes:
    vocab_size: Rows of the embedding table, v (all ids, special ones too).
    hidden_size: Width, d.
    num_layers: Number of layers.
    num_heads: Attention heads; divides `hidden_size`.
    mlp_dim: Width inside the MLPs.
    max_position_embeddings: Longest sequence, n.
    num_segments: Rows of the segment embedding; 0 leaves it out.
    dropout_rate: Of hidden states, in training.
    attention_dropout_rate: Of attention weights, in training.
    kernel_init_stddev: Of the kernels' initial values, before they are cut at
      two deviations. .02 suits a width of 768; narrower networks attend to
      everything alike for long unless it is larger.
    position_init: Initializer of the position embeddings.
    dtype: Type of the matrix products; layer norms and logits are float32.
    prefix_length: Positions before the latents of the views.
    camera_embedding: What says which camera saw a token: None, nothing; 'view',
      a learned vector a camera; 'rays', an MLP of the token's ray, in place
      of that.
    num_cameras: Of the rig, for 'view'.
    attention_implementation: See `attention.attend`.
    remat: Whether layers are computed again in the backward pass, which keeps
      only what goes in and out of each.
    frame_size: Above 0 attention is factorised: positions see those of their
      frame, of so many, and the same position in their frame and earlier ones.
    relative_grid: See `BertLayer`.
    tokens_per_position: See `BertEmbed`; divides `vocab_size`.
    has_head: Whether logits are returned; else the hidden states are.
  """

  vocab_size: int
  hidden_size: int
  num_layers: int
  num_heads: int
  mlp_dim: int
  max_position_embeddings: int
  num_segments: int = 0
  dropout_rate: float = 0.0
  attention_dropout_rate: float = 0.0
  kernel_init_stddev: float = 0.02
  position_init: Callable = EMBEDDING_INIT
  dtype: DTypeLike = jnp.float32
  prefix_length: int = 0
  camera_embedding: str | None = None
  num_cameras: int = 0
  attention_implementation: str | None = None
  remat: bool = False
  frame_size: int = 0
  relative_grid: tuple[int, int, int] | None = None
  tokens_per_position: int = 1
  has_head: bool = True

  @nn.compact
  def __call__(
    self,
    ids: Int[Array, "b n *p"],
    segment_ids: Int[Array, "b n"] | None = None,
    camera: Array | None = None,
    actions: Float[Array, "b t a"] | None = None,
    sees_past: Bool[Array, " b"] | None = None,
    start: Int[Array, ""] | int | None = None,
    added: Float[Array, "b n d"] | None = None,
    *,
    train: bool = False,
  ) -> Float[Array, "b n v"]:
    """Returns float32 logits over all ids, or hidden states.

    Args:
      ids: Token ids; negative ones index the table from its end.
      segment_ids: In [0, num_segments).
      camera: For 'view', the numbers of the cameras, int (b, v); for 'rays',
        those of the cells, float (b, v, h, w, 6), see `plucker_rays`. Tokens
        behind the prefix are (v, t, h, w), flattened.
      actions: With `frame_size`: of each frame, added to all of its positions.
      sees_past: With `frame_size`: whether frames of a clip see earlier ones;
        None: all do.
      start: With `frame_size`: the frame that `ids` begin with, which go on in
        the collection "cache"; None: they are the whole clip.
      added: To the embeddings.
      train: Whether dropout is on (it draws from the rng "dropout").
    """
    kernel_init = nn.initializers.truncated_normal(self.kernel_init_stddev)
    x, embedding = BertEmbed(
      self.vocab_size,
      self.hidden_size,
      self.max_position_embeddings,
      self.num_segments,
      self.dropout_rate,
      self.position_init,
      self.prefix_length,
      self.tokens_per_position,
    )(
      ids,
      segment_ids,
      self._embed_camera(camera, ids.shape[1]),
      self._with_actions(added, actions),
      self.frame_size * (0 if start is None else start),
      train=train,
    )
    time_mask = self._time_mask(ids.shape[1], sees_past, start)
    layer = (
      nn.remat(BertLayer, static_argnums=(2,)) if self.remat else BertLayer
    )
    for number in range(self.num_layers):
      x = layer(
        self.num_heads,
        self.mlp_dim,
        self.dropout_rate,
        self.attention_dropout_rate,
        self.dtype,
        kernel_init,
        self.attention_implementation,
        self.frame_size,
        self.relative_grid,
        name=f"BertLayer_{number}",
      )(x, train, time_mask, start)
    if not self.has_head:
      return x
    return BertMlmLayer(self.dtype, kernel_init)(x, embedding)

  def _with_actions(
    self, added: Array | None, actions: Array | None
  ) -> Array | None:
    """Adds those of actions, the same in all positions of a frame."""
    if actions is None:
      return added
    x = nn.Dense(
      self.hidden_size,
      kernel_init=EMBEDDING_INIT,
      dtype=self.dtype,
      name="action_dense",
    )(actions)
    x = jnp.repeat(x.astype(jnp.float32), self.frame_size, axis=1)
    return x if added is None else x + added

  def _time_mask(self, length, sees_past, start) -> Array | None:
    """Which frames each frame sees, (1 or b, t, m); None: all see all."""
    if not self.frame_size:
      return None
    num_frames = length // self.frame_size
    num_keys = num_frames
    if start is not None:
      num_keys = self.max_position_embeddings // self.frame_size
    frame = (0 if start is None else start) + jnp.arange(num_frames)[:, None]
    other = jnp.arange(num_keys)[None]
    is_past = (other <= frame)[None]
    if sees_past is None:
      return is_past
    return is_past & (sees_past[:, None, None] | (other == frame)[None])

  def _embed_camera(self, camera, length: int) -> Array | None:
    """(b, v, t, h, w, d), or None for nothing to add."""
    if self.camera_embedding is None:
      return None
    if self.camera_embedding == "view":
      x = cameras.ViewEmbed(
        self.num_cameras, self.hidden_size, EMBEDDING_INIT, name="ViewEmbed_0"
      )(camera)
    else:
      x = cameras.RayEmbed(
        self.hidden_size, EMBEDDING_INIT, self.dtype, name="RayEmbed_0"
      )(camera)
    b, v, _, h, w, d = x.shape
    cells = (length - self.prefix_length) // v
    return jnp.broadcast_to(x, (b, v, cells // (h * w), h, w, d))

  @classmethod
  def from_config(
    cls,
    transformer: TransformerConfig,
    vocab_size: int,
    prefix_length: int,
    grid: tuple[int, int, int],
    dtype: DTypeLike = jnp.float32,
    num_cameras: int = 0,
  ) -> "Bert":
    """Builds the network that `config.transformer` describes.

    Sequences are `prefix_length` positions and the latents of `grid`, once for
    each of several views if `transformer.camera_embedding` tells them apart.
    """
    return cls(
      vocab_size=vocab_size,
      hidden_size=transformer.hidden_size,
      num_layers=transformer.num_layers,
      num_heads=transformer.num_heads,
      mlp_dim=transformer.mlp_dim,
      max_position_embeddings=prefix_length + math.prod(grid),
      num_segments=transformer.num_segments,
      dropout_rate=transformer.dropout_rate,
      attention_dropout_rate=transformer.attention_dropout_rate,
      kernel_init_stddev=transformer.kernel_init_stddev,
      position_init=EMBEDDING_INIT
      if transformer.position_init == "normal"
      else grid_position_init(prefix_length, grid),
      dtype=dtype,
      prefix_length=prefix_length,
      camera_embedding=transformer.camera_embedding,
      num_cameras=num_cameras,
      attention_implementation=transformer.attention_implementation,
      remat=transformer.remat,
    )
