"""Encoder and decoder of the tokenizer: 3D, (2+1)D and 2D from one code.

MAGVIT (https://arxiv.org/abs/2212.05199), appendix A: residual blocks at each
resolution, halved (doubled) in space and, where asked, in time between them.
2D networks see each frame on its own, with the same code: `Tokenizer` folds
time into the batch before it calls them.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.models import blocks, layers, norms, resampling


@dataclasses.dataclass(frozen=True)
class BackboneOptions:
  """What encoder and decoder share.

  Attributes:
    ndim: 3 for clips (n, t, h, w, c), 2 for frames (n, h, w, c).
    filters: Channels at the finest resolution.
    channel_multipliers: Channels of each resolution, times `filters`.
    temporal_downsample: For each halving, whether time is halved too. An int
      n says that the first n are. Ignored in 2D.
    norm_type: 'GN', 'LN' or None.
    num_groups: Groups of 'GN'.
    activation_fn: 'swish' or 'relu'.
    padding_mode: None (zeros) or a `numpy.pad` mode; see `layers.Conv`.
    is_factorized: Whether the convolutions of clips are (2+1)D; see
      `blocks.Conv2Plus1D`.
    expand_mid_features: Likewise.
    shortcut_reads_output: See `blocks.ResBlock`.
    num_attn_heads: Of one attention block at the coarsest resolution of 2D
      networks; 0 for none.
    conv_implementation: See `layers.Conv`.
    dtype: Type of the computation.
  """

  ndim: int
  filters: int
  channel_multipliers: Sequence[int]
  temporal_downsample: Sequence[bool] | int = 0
  norm_type: str | None = "GN"
  num_groups: int = 32
  activation_fn: str = "swish"
  padding_mode: str | None = None
  is_factorized: bool = False
  expand_mid_features: bool = False
  shortcut_reads_output: bool = False
  num_attn_heads: int = 0
  conv_implementation: str = "xla"
  dtype: DTypeLike = jnp.float32

  def halves_time(self) -> tuple[bool, ...]:
    """For each halving of the resolution, whether time is halved too."""
    num_halvings = len(self.channel_multipliers) - 1
    flags = self.temporal_downsample
    if isinstance(flags, int):
      flags = [i < flags for i in range(num_halvings)]
    if len(flags) < num_halvings:
      raise ValueError(
        f"vqvae.temporal_downsample={tuple(flags)} has {len(flags)} entries; "
        f"{len(self.channel_multipliers)} channel_multipliers need "
        f"{num_halvings}."
      )
    return tuple(bool(flag) for flag in flags[:num_halvings])

  def strides(self, level: int) -> tuple[int, ...]:
    """Strides between resolution `level` and the next coarser one."""
    if self.ndim == 2:
      return (2, 2)
    return (2 if self.halves_time()[level] else 1, 2, 2)

  def conv(
    self, features: int, width: int, *, has_norm: bool = True, **options
  ) -> nn.Module:
    """A new convolution, `width` wide along every axis.

    `has_norm` is about the middle of a (2+1)D one, which else takes the options
    of `blocks.Conv2Plus1D`; others are `layers.Conv`'s.
    """
    common = dict(
      padding_mode=self.padding_mode,
      implementation=self.conv_implementation,
      dtype=self.dtype,
    )
    if not self.is_factorized:
      return layers.Conv(features, (width,) * self.ndim, **common, **options)
    if "kernel_init" in options:
      common["kernel_init"] = options.pop("kernel_init")
    return blocks.Conv2Plus1D(
      features,
      width,
      self.norm if has_norm else None,
      self.activation,
      functools.partial(layers.Conv, **common),
      expand_mid_features=self.expand_mid_features,
      **options,
    )

  def attention(self) -> nn.Module:
    """A new attention block."""
    return blocks.AttnBlock(
      self.num_attn_heads, self.norm_type, self.num_groups, self.dtype
    )

  def norm(self) -> Callable[..., Array]:
    """A new normalisation layer."""
    return norms.make_norm(self.norm_type, self.num_groups, self.dtype)

  @property
  def activation(self) -> Callable[[Array], Array]:
    if self.activation_fn not in layers.ACTIVATIONS:
      raise ValueError(
        f"vqvae.activation_fn={self.activation_fn!r} is unknown; use one of "
        f"{', '.join(layers.ACTIVATIONS)}."
      )
    return layers.ACTIVATIONS[self.activation_fn]


class _BlockMaker:
  """Numbers residual blocks in order, rematerialised or not.

  `nn.remat` renames a class, so the names are given here, as linen would.
  """

  def __init__(self, options: BackboneOptions):
    self._options = options
    self._count = 0

  def __call__(self, features: int, *, remat: bool, pooling=None) -> nn.Module:
    block = nn.remat(blocks.ResBlock) if remat else blocks.ResBlock
    name = f"ResBlock_{self._count}"
    self._count += 1
    options = self._options
    return block(
      features,
      options.conv,
      options.norm,
      options.activation,
      options.shortcut_reads_output,
      pooling,
      name=name,
    )


class Encoder(nn.Module):
  """Turns pixels into a grid of features, one for each latent cell.

  Attributes:
    options: Shared with the decoder.
    embedding_dim: Channels of the result.
    num_res_blocks: Residual blocks at each resolution, and at the end.
    conv_downsample: Halve by 4-wide strided convolutions rather than averages.
    num_remat_levels: Finest resolutions whose blocks are computed again in
      the backward pass, in training, to save memory.
  """

  options: BackboneOptions
  embedding_dim: int
  num_res_blocks: int
  conv_downsample: bool = False
  num_remat_levels: int = 0

  @nn.compact
  def __call__(
    self, x: Float[Array, "n *grid c"], *, train: bool = False
  ) -> Float[Array, "n *cells d"]:
    """Encodes values in [0, 1]."""
    options = self.options
    multipliers = options.channel_multipliers
    make_block = _BlockMaker(options)
    x = options.conv(options.filters, 3, use_bias=False)(x)
    for level, multiplier in enumerate(multipliers):
      remat = train and level < self.num_remat_levels
      strides = options.strides(level) if level < len(multipliers) - 1 else None
      pooling = None if self.conv_downsample else strides
      features = options.filters * multiplier
      for _ in range(self.num_res_blocks - 1):
        x = make_block(features, remat=remat)(x)
      if self.num_res_blocks:
        x = make_block(features, remat=remat, pooling=pooling)(x)
      elif pooling:
        x = resampling.average_pool(x, pooling)
      if strides and self.conv_downsample:
        x = options.conv(x.shape[-1], 4, strides=strides)(x)
    for i in range(self.num_res_blocks):
      if options.num_attn_heads and i == self.num_res_blocks - 1:
        x = options.attention()(x)
      x = make_block(options.filters * multipliers[-1], remat=False)(x)
    x = options.norm()(x, options.activation)
    return options.conv(self.embedding_dim, 1)(x)


class Decoder(nn.Module):
  """Turns a grid of code vectors back into pixels.

  Attributes:
    options: Shared with the encoder.
    num_res_blocks: Residual blocks at each resolution, and at the start.
    upsample: 'nearest' (then a 3-wide convolution), 'deconv' or, for frames,
      'depth_to_space' (after a 3-wide convolution).
    num_remat_levels: As in `Encoder`.
    output_init_scale: Factor on the last kernel's initial values. Upstream's
      is 1; near 0 the first reconstructions are flat, which trains faster
      where most of a clip is background.
  """

  options: BackboneOptions
  num_res_blocks: int
  upsample: str = "nearest"
  num_remat_levels: int = 0
  output_init_scale: float = 1.0

  @nn.compact
  def __call__(
    self, x: Float[Array, "n *cells d"], *, train: bool = False
  ) -> tuple[Float[Array, "n *grid c"], Float[Array, "n *grid f"]]:
    """Decodes code vectors.

    Returns:
      pixels: Not clipped; [0, 1] is the valid range.
      features: "Stage 1", what the last convolution reads.
    """
    options = self.options
    multipliers = options.channel_multipliers
    make_block = _BlockMaker(options)
    x = options.conv(options.filters * multipliers[-1], 3)(x)
    for i in range(self.num_res_blocks):
      x = make_block(options.filters * multipliers[-1], remat=False)(x)
      if options.num_attn_heads and i == 0:
        x = options.attention()(x)
    for level in reversed(range(len(multipliers))):
      remat = train and level < self.num_remat_levels
      for _ in range(self.num_res_blocks):
        x = make_block(options.filters * multipliers[level], remat=remat)(x)
      if level > 0:
        x = self._upsample(x, options.strides(level - 1))
    features = options.norm()(x, options.activation)
    kernel_init = nn.initializers.variance_scaling(
      self.output_init_scale**2, "fan_in", "truncated_normal"
    )
    to_pixels = options.conv(3, 3, kernel_init=kernel_init, has_norm=False)
    return to_pixels(features), features

  def _upsample(self, x: Array, factors: Sequence[int]) -> Array:
    options, features = self.options, x.shape[-1]
    if self.upsample == "nearest":
      return options.conv(features, 3, upsampling=factors)(x)
    if self.upsample == "deconv":
      return layers.ConvTranspose(
        features,
        factors,
        implementation=options.conv_implementation,
        dtype=options.dtype,
      )(x)
    if self.upsample == "depth_to_space" and options.ndim == 2:
      return resampling.depth_to_space(options.conv(4 * features, 3)(x))
    raise ValueError(
      f"vqvae.upsample={self.upsample!r} is unknown; use 'nearest', 'deconv' "
      "or, in 2D, 'depth_to_space'."
    )
