"""StyleGAN discriminators of clips: 3D, (2+1)D, and 2D frame by frame.

StyleGAN2 (https://arxiv.org/abs/1912.04958) inflated to clips, as MAGVIT uses
it (https://arxiv.org/abs/2212.05199, appendix A). It is differentiated twice
in training (R1), so every operation in it has a second derivative.
"""

import functools
import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.config.networks import ArchitectureConfig, DiscriminatorConfig
from magvit3d.models import layers, mixed_precision, norms, resampling
from magvit3d.models.blocks import Conv2Plus1D

_INIT = nn.initializers.xavier_uniform()


def _activation(x: Array) -> Array:
  return nn.leaky_relu(x, 0.2)


class DiscriminatorBlock(nn.Module):
  """Halves all axes and changes the channels, with a pooled shortcut.

  Attributes:
    features: Output channels.
    conv: Makes a convolution: `conv(features, kernel_width)`.
    shortcut_conv: Makes the shortcut's.
    norm: Returns a new normalisation layer.
    pool: Halves the axes.
  """

  features: int
  conv: Callable
  shortcut_conv: Callable
  norm: Callable
  pool: Callable

  @nn.compact
  def __call__(self, x: Float[Array, "b *grid c"]) -> Array:
    # The order of creation numbers the convolutions: 1 is the shortcut's.
    shortcut = x
    x = self.norm()(self.conv(x.shape[-1], 3)(x), _activation)
    x = self.pool(x)
    shortcut = self.pool(shortcut)
    shortcut = self.shortcut_conv(self.features, 1, use_bias=False)(shortcut)
    x = self.norm()(self.conv(self.features, 3)(x), _activation)
    return (shortcut + x) / jnp.sqrt(2.0).astype(x.dtype)


class Discriminator(nn.Module):
  """Scores how real clips look.

  Attributes:
    filters: Channels at full resolution.
    channel_multipliers: Channels after each block, times `filters`; rounded
      down, if they are fractions.
    architecture: '3dcnn', '2plus1dcnn' (no norm) or '2dcnn' (no norm), which
      scores each frame on its own.
    norm_type: 'GN', 'LN' or None.
    num_groups: Groups of 'GN'.
    num_remat_blocks: Leading blocks that are computed again in the backward
      pass to save memory.
    blur_resample: Halve with a blur rather than a plain average; 2D only.
    expand_mid_features: See `blocks.Conv2Plus1D`.
    conv_implementation: See `layers.Conv`.
    dtype: Type of the computation.
  """

  filters: int
  channel_multipliers: Sequence[int | float]
  architecture: str = "3dcnn"
  norm_type: str | None = None
  num_groups: int = 32
  num_remat_blocks: int = 0
  blur_resample: bool = False
  expand_mid_features: bool = False
  conv_implementation: str = "xla"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "..."]:
    """Returns float32 logits (b, 1), or (b, t, 1) in 2D; high looks real."""
    # Functions, not methods: a method's modules would belong to `self`.
    b = clips.shape[0]
    is_2d = self.architecture == "2dcnn"
    ndim = 2 if is_2d else 3
    base_conv = functools.partial(
      layers.Conv,
      implementation=self.conv_implementation,
      kernel_init=_INIT,
      dtype=self.dtype,
    )

    def plain_conv(features: int, width: int, **options) -> nn.Module:
      return base_conv(features, (width,) * ndim, **options)

    def conv_2plus1d(features: int, width: int) -> nn.Module:
      return Conv2Plus1D(
        features,
        width,
        None,
        _activation,
        base_conv,
        expand_mid_features=self.expand_mid_features,
      )

    def norm() -> Callable[..., Array]:
      return norms.make_norm(self.norm_type, self.num_groups, self.dtype)

    def pool(x: Array) -> Array:
      if self.blur_resample:
        return resampling.blur_pool(x)
      return resampling.average_pool(x, (2,) * ndim)

    is_factorized = self.architecture == "2plus1dcnn"
    conv = conv_2plus1d if is_factorized else plain_conv
    x = clips.reshape(-1, *clips.shape[2:]) if is_2d else clips
    x = _activation(conv(self.filters, 3)(x))
    for i, multiplier in enumerate(self.channel_multipliers):
      remat = i < self.num_remat_blocks
      block = nn.remat(DiscriminatorBlock) if remat else DiscriminatorBlock
      features = int(self.filters * multiplier)
      x = block(features, conv, plain_conv, norm, pool, name=f"ResBlock_{i}")(x)
    width = x.shape[-1]
    x = norm()(conv(width, 3)(x), _activation)
    frames = (-1,) if is_2d else ()
    x = x.reshape(b, *frames, math.prod(x.shape[1:]))
    dense = functools.partial(
      nn.Dense,
      kernel_init=_INIT,
      dtype=self.dtype,
      promote_dtype=mixed_precision.keep_bias,
    )
    x = dense(width)(x).astype(self.dtype)
    return dense(1)(_activation(x)).astype(jnp.float32)

  @classmethod
  def from_config(
    cls,
    discriminator: DiscriminatorConfig,
    vqvae: ArchitectureConfig,
    dtype: DTypeLike = jnp.float32,
  ) -> "Discriminator":
    """Builds the network that `config.discriminator` describes.

    What it shares with the tokenizer comes from `config.vqvae`.

    Raises:
      ValueError: A field is for another architecture.
    """
    architecture = vqvae.architecture
    if discriminator.blur_resample and architecture != "2dcnn":
      raise ValueError(
        "discriminator.blur_resample is for vqvae.architecture='2dcnn', not "
        f"{architecture!r}."
      )
    if discriminator.norm_type is not None and architecture != "3dcnn":
      raise ValueError(
        f"discriminator.norm_type={discriminator.norm_type!r} is for "
        f"vqvae.architecture='3dcnn', not {architecture!r}; use None."
      )
    return cls(
      filters=discriminator.filters,
      channel_multipliers=discriminator.channel_multipliers,
      architecture=architecture,
      norm_type=discriminator.norm_type,
      num_groups=discriminator.num_groups,
      num_remat_blocks=discriminator.num_remat_blocks,
      blur_resample=discriminator.blur_resample,
      expand_mid_features=vqvae.expand_mid_features,
      conv_implementation=layers.choose_conv_implementation(
        vqvae.conv_implementation
      ),
      dtype=dtype,
    )
