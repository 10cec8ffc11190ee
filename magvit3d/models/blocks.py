"""Residual and attention blocks of the tokenizer, for clips and frames."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.models import layers, norms, resampling


class Conv2Plus1D(nn.Module):
  """A convolution over space, then one over time, in place of one over both.

  Tran et al., https://arxiv.org/abs/1711.11248, section 3.5.

  Attributes:
    features: Output channels.
    width: Of the kernels: (1, width, width), then (width, 1, 1).
    norm: Returns a new normalisation layer, put between the two; None for no
      norm.
    activation: Between the two.
    conv: `layers.Conv` with its common options bound.
    strides: (time, height, width); None is 1 everywhere.
    use_bias: Whether both add a bias.
    upsampling: See `layers.Conv`.
    pooling: Likewise.
    expand_mid_features: Whether the channels between the two are so many that
      both together have about the parameters of a 3x3x3 convolution; else
      they are `features`.
  """

  features: int
  width: int
  norm: Callable | None
  activation: Callable
  conv: Callable
  strides: tuple[int, int, int] | None = None
  use_bias: bool = True
  upsampling: Sequence[int] | None = None
  pooling: Sequence[int] | None = None
  expand_mid_features: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "..."]:
    """Convolves clips to (b, *(t, h, w) / strides, features)."""
    if self.upsampling:
      x = resampling.upsample_nearest(x, self.upsampling)
    time, *space = self.strides or (1, 1, 1)
    width = self.width
    x = self.conv(
      self._mid_features(x.shape[-1]),
      (1, width, width),
      strides=(1, *space),
      use_bias=self.use_bias,
    )(x)
    norm = norms.no_norm if self.norm is None else self.norm()
    x = norm(x, self.activation)
    return self.conv(
      self.features,
      (width, 1, 1),
      strides=(time, 1, 1),
      use_bias=self.use_bias,
      pooling=self.pooling,
    )(x)

  def _mid_features(self, channels: int) -> int:
    if not self.expand_mid_features:
      return self.features
    # The kernel counts as 3 wide whatever it is, as upstream does.
    wanted = 27 * channels * self.features // (9 * channels + 3 * self.features)
    return max(-(-wanted // 32) * 32, self.features)


class ResBlock(nn.Module):
  """Two normalised 3-wide convolutions with a shortcut.

  Attributes:
    features: Output channels; a 1-wide convolution adapts the shortcut where
      the input has another number.
    conv: Makes a convolution: `conv(features, kernel_width, use_bias=...)`.
    norm: Returns a new normalisation layer.
    activation: Pointwise function.
    shortcut_reads_output: Whether the shortcut's convolution reads the
      result of the other two rather than the input, as in MaskGIT's published
      ImageNet tokenizers.
    pooling: Of how many neighbours along each axis the results are averages.
  """

  features: int
  conv: Callable
  norm: Callable
  activation: Callable
  shortcut_reads_output: bool = False
  pooling: Sequence[int] | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
    shortcut = x
    x = self.norm()(x, self.activation)
    x = self.conv(self.features, 3, use_bias=False)(x)
    x = self.norm()(x, self.activation)
    x = self.conv(self.features, 3, use_bias=False, pooling=self.pooling)(x)
    if self.pooling:  # All that follows is linear.
      shortcut = resampling.average_pool(shortcut, self.pooling)
    if shortcut.shape[-1] != self.features:
      source = x if self.shortcut_reads_output else shortcut
      shortcut = self.conv(self.features, 1, use_bias=False)(source)
    return x + shortcut


class AttnBlock(nn.Module):
  """Attention of all pixels of a frame to each other, with a shortcut.

  Starts as the identity. Esser et al., https://arxiv.org/abs/2012.09841,
  appendix A, with several heads.

  Attributes:
    num_heads: Divides the channels.
    norm_type: 'GN', 'LN' or None.
    num_groups: Groups of 'GN'.
    dtype: Type of the computation.
  """

  num_heads: int
  norm_type: str | None
  num_groups: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    n, h, w, c = x.shape
    if c % self.num_heads:
      raise ValueError(
        f"vqvae.num_attn_heads={self.num_heads} does not divide the {c} "
        "channels of the coarsest resolution."
      )

    def project(name, **options):
      return layers.Conv(c, (1, 1), dtype=self.dtype, name=name, **options)

    normed = norms.make_norm(
      self.norm_type, self.num_groups, self.dtype, name="norm"
    )(x)
    heads = (n, h * w, self.num_heads, c // self.num_heads)
    attended = jax.nn.dot_product_attention(
      *(project(name)(normed).reshape(heads) for name in "qkv")
    )
    attended = attended.reshape(n, h, w, c)
    zeros = nn.initializers.zeros_init()
    return x + project("proj_out", kernel_init=zeros)(attended)
