"""Networks that regress the latents of a clip's future.

They read the latents of what is shown: the given frames, the last of them
repeated to the clip's length. So without any change they copy the last frame.
Latents are in units of the codebook's root mean square.
"""

import math

import flax.linen as nn
from jaxtyping import Array, Float

from magvit3d.config.networks import TransformerConfig
from magvit3d.config.prediction import PredictionConfig
from magvit3d.models import extractors
from magvit3d.models.bert_layers import BertLayer, layer_norm
from magvit3d.models.embeddings import (
  EMBEDDING_INIT,
  EMBEDDING_STDDEV,
  grid_position_init,
)


class LatentRegressor(nn.Module):
  """A bidirectional transformer over t x h x w latents.

  Attributes:
    transformer: Its sizes.
    first: Latent frame from which on they are told.
    is_pooled: An ablation: it reads the mean of each latent frame over space,
      and says where things are from that alone.
  """

  transformer: TransformerConfig
  first: int
  is_pooled: bool = False

  @nn.compact
  def __call__(
    self,
    shown: Float[Array, "b t h w d"],
    motion: Float[Array, "b f"] | None = None,
    *,
    train: bool = False,
  ) -> Float[Array, "b s h w d"]:
    """Returns latents of the frames from `first` on.

    Args:
      shown: Latents of what is shown.
      motion: Features of the given frames that guide it, if any.
      train: Whether there is dropout.
    """
    width, (b, _, h, w, d) = self.transformer.hidden_size, shown.shape
    x = shown.mean((2, 3), keepdims=True) if self.is_pooled else shown
    grid = x.shape[1:4]
    x = x.reshape(b, -1, d)
    # As large as the words of BERT, so that positions weigh as much.
    init = nn.initializers.normal(EMBEDDING_STDDEV / math.sqrt(d))
    x = nn.Dense(width, kernel_init=init, name="latents")(x)
    is_normal = self.transformer.position_init == "normal"
    place_init = EMBEDDING_INIT if is_normal else grid_position_init(0, grid)
    shape = (x.shape[1], width)
    x += self.param("position_embeddings", place_init, shape)[None]
    if motion is not None:
      motion = layer_norm("motion_ln")(motion)
      init = nn.initializers.normal(EMBEDDING_STDDEV / motion.shape[-1] ** 0.5)
      x += nn.Dense(width, kernel_init=init, name="motion")(motion)[:, None]
    x = layer_norm("embeddings_ln")(x)
    kernel_init = nn.initializers.truncated_normal(
      self.transformer.kernel_init_stddev
    )
    for number in range(self.transformer.num_layers):
      x = BertLayer(
        self.transformer.num_heads,
        self.transformer.mlp_dim,
        self.transformer.dropout_rate,
        self.transformer.attention_dropout_rate,
        x.dtype,
        kernel_init,
        self.transformer.attention_implementation,
        name=f"BertLayer_{number}",
      )(x, train)
    x = x.reshape(b, *grid, width)[:, self.first :]
    if self.is_pooled:
      return nn.Dense(h * w * d, name="change")(x).reshape(b, -1, h, w, d)
    change = nn.Dense(d, kernel_init=nn.initializers.zeros, name="change")(x)
    return shown[:, self.first :] + change


def motion_network(name: str, config: PredictionConfig) -> nn.Module:
  """Returns what makes features (b, s, f) of given frames (b, t, h, w, 3).

  Args:
    name: 'joint_i3d' or 'slowfast'.
    config: `config.prediction`.
  """
  if name == "joint_i3d":
    return extractors.I3D(config.motion_features, config.channel_share)
  return extractors.SlowFast(
    config.motion_features, config.channel_share, config.slowfast_blocks
  )
