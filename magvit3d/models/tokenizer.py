"""The tokenizer: encoder, quantizer and decoder in one module."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from magvit3d.config.networks import TokenizerConfig
from magvit3d.models import encoder_decoder, layers, quantizer


@flax.struct.dataclass
class TokenizerOutput:
  """What one pass of the tokenizer returns.

  Attributes:
    reconstruction: (b, t, h, w, 3) float32, not clipped.
    quantized: Tokens, codes, latents and losses.
  """

  reconstruction: Float[Array, "b t h w 3"]
  quantized: quantizer.Quantized


class Tokenizer(nn.Module):
  """3D-VQ (or (2+1)D, or 2D frame by frame) autoencoder of clips.

  Methods take and return clips (b, t, h, w, 3) in [0, 1] and tokens
  (b, t', h', w') whatever the architecture.

  Attributes:
    backbone: Options shared by encoder and decoder.
    quantizer_options: Fields of `VectorQuantizer`.
    embedding_dim: Channels of a code, d.
    num_enc_res_blocks: See `Encoder.num_res_blocks`.
    num_dec_res_blocks: See `Decoder.num_res_blocks`.
    conv_downsample: See `Encoder`.
    upsample: See `Decoder`.
    num_enc_remat_blocks: See `Encoder.num_remat_levels`.
    num_dec_remat_blocks: See `Decoder.num_remat_levels`.
    output_init_scale: See `Decoder`.
  """

  backbone: encoder_decoder.BackboneOptions
  quantizer_options: Mapping[str, Any]
  embedding_dim: int
  num_enc_res_blocks: int
  num_dec_res_blocks: int
  conv_downsample: bool = False
  upsample: str = "nearest"
  num_enc_remat_blocks: int = 0
  num_dec_remat_blocks: int = 0
  output_init_scale: float = 1.0

  def setup(self):
    self.encoder = encoder_decoder.Encoder(
      self.backbone,
      self.embedding_dim,
      self.num_enc_res_blocks,
      conv_downsample=self.conv_downsample,
      num_remat_levels=self.num_enc_remat_blocks,
    )
    decoder_backbone = self.backbone
    if self.backbone.ndim == 2:  # Its padding mode is the encoder's alone.
      decoder_backbone = dataclasses.replace(self.backbone, padding_mode=None)
    self.decoder = encoder_decoder.Decoder(
      decoder_backbone,
      self.num_dec_res_blocks,
      upsample=self.upsample,
      num_remat_levels=self.num_dec_remat_blocks,
      output_init_scale=self.output_init_scale,
    )
    self.quantizer = quantizer.VectorQuantizer(**self.quantizer_options)

  def __call__(
    self,
    clips: Float[Array, "b t h w 3"],
    *,
    train: bool = False,
    is_quantizing: Bool[Array, ""] | bool = True,
  ) -> TokenizerOutput:
    """Reconstructs clips through their tokens.

    Args:
      clips: Values in [0, 1].
      train: Whether losses, the straight-through gradient and remat are on.
      is_quantizing: If false the decoder reads the features themselves.
    """
    quantized = self.quantizer(self.features(clips, train=train), train=train)
    codes = jnp.where(is_quantizing, quantized.codes, quantized.latents)
    return TokenizerOutput(self.decode(codes, train=train), quantized)

  def features(
    self, clips: Float[Array, "b t h w 3"], *, train: bool = False
  ) -> Float[Array, "b s y x d"]:
    """Encoder output before quantization."""
    b = clips.shape[0]
    return self._unfold(self.encoder(self._fold(clips), train=train), b)

  def encode(self, clips: Float[Array, "b t h w 3"]) -> quantizer.Quantized:
    """Tokenizes clips."""
    return self.quantizer(self.features(clips))

  def decode_tokens(
    self, tokens: Int[Array, "b s y x"]
  ) -> Float[Array, "b t h w 3"]:
    """Reconstructs clips from tokens in [0, codebook_size)."""
    return self._decode(self.quantizer.decode_tokens(tokens))[0]

  def decode(self, codes: Array, *, train: bool = False) -> Array:
    """Clips (b, t, h, w, 3) of codes (b, s, y, x, d), or of other latents."""
    return self._decode(codes, train=train)[0]

  def stage1(self, tokens: Int[Array, "b s y x"]) -> Float[Array, "b t h w f"]:
    """What the decoder's last convolution reads."""
    return self._decode(self.quantizer.decode_tokens(tokens))[1]

  def _decode(self, codes: Array, *, train: bool = False) -> tuple:
    b = codes.shape[0]
    pixels, features = self.decoder(self._fold(codes), train=train)
    pixels = pixels.astype(jnp.float32)
    return self._unfold(pixels, b), self._unfold(features, b)

  def _fold(self, x: Array) -> Array:
    is_2d = self.backbone.ndim == 2
    return x.reshape(-1, *x.shape[2:]) if is_2d else x

  def _unfold(self, x: Array, b: Any) -> Array:
    # b is a symbol where the batch size is left open (`jax.export`).
    is_2d = self.backbone.ndim == 2
    return x.reshape(b, -1, *x.shape[1:]) if is_2d else x

  @classmethod
  def from_config(
    cls, vqvae: TokenizerConfig, dtype: DTypeLike = jnp.float32
  ) -> "Tokenizer":
    """Builds the network that `config.vqvae` describes."""
    is_2d = vqvae.architecture == "2dcnn"
    is_factorized = vqvae.architecture == "2plus1dcnn"
    padding = vqvae.encoder_conv_padding if is_2d else vqvae.custom_conv_padding
    is_deconv = is_factorized and vqvae.deconv_upsample
    backbone = encoder_decoder.BackboneOptions(
      ndim=2 if is_2d else 3,
      filters=vqvae.filters,
      channel_multipliers=vqvae.channel_multipliers,
      temporal_downsample=vqvae.temporal_downsample,
      norm_type=vqvae.norm_type,
      num_groups=vqvae.num_groups,
      activation_fn=vqvae.activation_fn,
      padding_mode=None if padding in ("", "SAME") else padding,
      is_factorized=is_factorized,
      expand_mid_features=vqvae.expand_mid_features,
      shortcut_reads_output=vqvae.shortcut_reads_output,
      num_attn_heads=vqvae.num_attn_heads if vqvae.use_attn else 0,
      conv_implementation=layers.choose_conv_implementation(
        vqvae.conv_implementation
      ),
      dtype=dtype,
    )
    quantizer_options = {
      field.name: getattr(vqvae, field.name)
      for field in dataclasses.fields(quantizer.VectorQuantizer)
      if field.name not in ("parent", "name")
    }
    return cls(
      backbone=backbone,
      quantizer_options=quantizer_options,
      embedding_dim=vqvae.embedding_dim,
      num_enc_res_blocks=vqvae.num_enc_res_blocks,
      num_dec_res_blocks=vqvae.num_dec_res_blocks,
      conv_downsample=vqvae.conv_downsample,
      upsample="deconv" if is_deconv else vqvae.upsample,
      num_enc_remat_blocks=vqvae.num_enc_remat_blocks,
      num_dec_remat_blocks=vqvae.num_dec_remat_blocks,
      output_init_scale=vqvae.output_init_scale,
    )


def strides(vqvae: TokenizerConfig) -> tuple[int, int]:
  """Frames, and pixels of a side, that a token of `config.vqvae` stands for."""
  backbone = Tokenizer.from_config(vqvae).backbone
  time_stride = 2 ** sum(backbone.halves_time()) if backbone.ndim == 3 else 1
  return time_stride, 2 ** (len(backbone.channel_multipliers) - 1)


def latent_shape(
  vqvae: TokenizerConfig,
  num_frames: int,
  image_size: int,
  fields: tuple[str, str] = ("data.num_frames", "data.image_size"),
) -> tuple[int, int, int]:
  """Token grid (t', h', w') of a clip; `fields` name the sizes in errors.

  Raises:
    ValueError: The clip does not divide by the tokenizer's strides.
  """
  halvings = len(vqvae.channel_multipliers) - 1
  time_stride, spatial_stride = strides(vqvae)
  for field, size, stride in (
    (fields[1], image_size, spatial_stride),
    (fields[0], num_frames, time_stride),
  ):
    if size % stride or size < stride:
      nearest = max(stride, round(size / stride) * stride)
      raise ValueError(
        f"config.{field}={size} is not a multiple of {stride}, the stride of "
        f"a tokenizer with {halvings} halvings. Use {nearest}, or other "
        "vqvae.channel_multipliers and vqvae.temporal_downsample."
      )
  cells = image_size // spatial_stride
  return num_frames // time_stride, cells, cells
