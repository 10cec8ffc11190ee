"""StyleGAN discriminator with 3D convolutions.

StyleGAN2 (https://arxiv.org/abs/1912.04958) inflated to clips, as MAGVIT uses
it (https://arxiv.org/abs/2212.05199, appendix A). It is differentiated twice
in training (R1), so every operation in it has a second derivative.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.models import layers

_INIT = nn.initializers.xavier_uniform()


def _activation(x: Array) -> Array:
  return nn.leaky_relu(x, 0.2)


class DiscriminatorBlock(nn.Module):
  """Halves all axes and changes the channels, with a pooled shortcut."""

  features: int
  conv: Callable
  norm: Callable

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Array:
    # The order of creation numbers the convolutions: 1 is the shortcut's.
    window = (2, 2, 2)
    shortcut = x
    x = _activation(self.norm()(self.conv(x.shape[-1], 3)(x)))
    x = layers.average_pool(x, window)
    shortcut = layers.average_pool(shortcut, window)
    shortcut = self.conv(self.features, 1, use_bias=False)(shortcut)
    x = _activation(self.norm()(self.conv(self.features, 3)(x)))
    return (shortcut + x) / jnp.sqrt(2.0).astype(x.dtype)


class Discriminator(nn.Module):
  """Scores how real clips look.

  Attributes:
    filters: Channels at full resolution.
    channel_multipliers: Channels after each block, times `filters`.
    norm_type: 'GN', 'LN' or None.
    num_groups: Groups of 'GN'.
    num_remat_blocks: Leading blocks that are computed again in the backward
      pass to save memory.
    conv_implementation: See `layers.Conv`.
    dtype: Type of the computation.
  """

  filters: int
  channel_multipliers: Sequence[int]
  norm_type: str | None = None
  num_groups: int = 32
  num_remat_blocks: int = 0
  conv_implementation: str = "xla"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b 1"]:
    """Returns one float32 logit a clip; higher looks more real."""

    def conv(features: int, width: int, **options) -> layers.Conv:
      return layers.Conv(
        features,
        (width,) * 3,
        implementation=self.conv_implementation,
        kernel_init=_INIT,
        dtype=self.dtype,
        **options,
      )

    def norm():
      return layers.make_norm(self.norm_type, self.num_groups, self.dtype)

    x = _activation(conv(self.filters, 3)(clips))
    for i, multiplier in enumerate(self.channel_multipliers):
      remat = i < self.num_remat_blocks
      block = nn.remat(DiscriminatorBlock) if remat else DiscriminatorBlock
      features = self.filters * multiplier
      x = block(features, conv, norm, name=f"ResBlock_{i}")(x)
    width = x.shape[-1]
    x = _activation(norm()(conv(width, 3)(x)))
    x = x.reshape(x.shape[0], -1)
    x = nn.Dense(width, kernel_init=_INIT, dtype=self.dtype)(x)
    x = nn.Dense(1, kernel_init=_INIT, dtype=self.dtype)(_activation(x))
    return x.astype(jnp.float32)

  @classmethod
  def from_config(
    cls,
    discriminator: Mapping[str, Any],
    conv_implementation: str | None = None,
    dtype: DTypeLike = jnp.float32,
  ) -> "Discriminator":
    """Builds the network that `config.discriminator` describes."""
    return cls(
      filters=discriminator["filters"],
      channel_multipliers=tuple(discriminator["channel_multipliers"]),
      norm_type=discriminator.get("norm_type"),
      num_groups=discriminator.get("num_groups", 32),
      num_remat_blocks=discriminator.get("num_remat_blocks", 0),
      conv_implementation=conv_implementation
      or layers.default_conv_implementation(),
      dtype=dtype,
    )
