"""Sections of a config that describe networks; see docs/architecture.md.

Fields and defaults are MAGVIT's (https://arxiv.org/abs/2212.05199, appendix A)
but for those marked "ours" in `configs/traj3d.py`, which are off by default.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchitectureConfig:
  """What tokenizer and discriminator share, of `config.vqvae`.

  Attributes:
    architecture: '2plus1dcnn' convolves space and time one after the other,
      '2dcnn' frame by frame.
    expand_mid_features: In '2plus1dcnn'.
    conv_implementation: Of 3D convolutions: 'xla', 'frames' (2D ones over
      shifted frames), 'onednn' (on one CPU device, with the extra `onednn`);
      None is the device's best.
  """

  architecture: Literal["3dcnn", "2plus1dcnn", "2dcnn"] = "3dcnn"
  expand_mid_features: bool = False
  conv_implementation: Literal["xla", "frames", "onednn"] | None = None

  @staticmethod
  def of_tokenizer(vqvae: Mapping[str, Any]) -> "ArchitectureConfig":
    """Returns what a section `vqvae` shares, whatever else is in it."""
    names = ArchitectureConfig.__dataclass_fields__.keys() & vqvae.keys()
    return ArchitectureConfig(**{name: vqvae[name] for name in names})


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerConfig(ArchitectureConfig):
  """`config.vqvae`: encoder, quantizer and decoder.

  Attributes:
    temporal_downsample: Which halvings halve time too; or how many of the
      last ones do.
    custom_conv_padding: Of '3dcnn' and '2plus1dcnn'.
    encoder_conv_padding: Of '2dcnn'.
    use_attn: Attention in the middle, of '2dcnn'.
    deconv_upsample: Upstream's name for `upsample='deconv'` of '2plus1dcnn'.
    upsample: 'nearest', or 'deconv': transposed convolutions; in '2dcnn' also
      'depth_to_space'.
    num_enc_res_blocks: Residual blocks of the encoder at each resolution, and
      at the end.
    num_dec_res_blocks: The same of the decoder.
    num_enc_remat_blocks: Finest resolutions of the encoder that are computed
      again in the backward pass, to save memory.
    num_dec_remat_blocks: The same of the decoder.
    shortcut_reads_output: Ours: as in MaskGIT's published tokenizers.

  The others are those of `Tokenizer`, `BackboneOptions` and `VectorQuantizer`.

  Raises:
    ValueError: Fields do not go together.
  """

  filters: int
  channel_multipliers: tuple[int, ...]
  num_enc_res_blocks: int
  num_dec_res_blocks: int
  codebook_size: int
  embedding_dim: int
  temporal_downsample: tuple[bool, ...] | int = 0
  num_enc_remat_blocks: int = 0
  num_dec_remat_blocks: int = 0
  conv_downsample: bool = False
  upsample: str = "nearest"
  deconv_upsample: bool = False
  custom_conv_padding: str | None = None
  encoder_conv_padding: str | None = None
  use_attn: bool = False
  num_attn_heads: int = 8
  shortcut_reads_output: bool = False
  norm_type: str | None = "GN"
  num_groups: int = 32
  activation_fn: str = "swish"
  output_init_scale: float = 1.0
  latent_normalize: bool = False
  commitment_cost: float = 0.25
  embedding_loss_ratio: float = 1.0
  entropy_loss_ratio: float = 0.0
  entropy_loss_type: str = "softmax"
  entropy_temperature: float = 0.01

  def __post_init__(self):
    names = "filters channel_multipliers codebook_size embedding_dim"
    _check_sizes(self, "vqvae", names)
    if self.use_attn and self.architecture != "2dcnn":
      raise ValueError(
        "vqvae.use_attn is for vqvae.architecture='2dcnn', not "
        f"{self.architecture!r}."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
  """`config.discriminator`; see `models.discriminator.Discriminator`.

  Attributes:
    filters: Channels of the first convolution.
    channel_multipliers: Channels of each block, times `filters`.
    num_groups: Ours: groups of 'GN'.
    blur_resample: Halves with a blur, of '2dcnn'.
  """

  filters: int
  channel_multipliers: tuple[int, ...]
  norm_type: str | None = None
  num_groups: int = 32
  num_remat_blocks: int = 0
  blur_resample: bool = False

  def __post_init__(self):
    _check_sizes(self, "discriminator", "filters channel_multipliers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
  """`config.transformer` of a masked transformer; see `models.bert.Bert`.

  Attributes:
    num_layers: Layers.
    hidden_size: Width.
    mlp_dim: Width inside the MLPs.
    num_heads: Attention heads; divides `hidden_size`.
    num_segments: Rows of the segment embedding; 0 leaves it out.
    kernel_init_stddev: Of the kernels' initial values; .02 suits a width of
      768, narrower networks learn sooner with more.
    position_init: Ours: initial position embeddings.
    attention_implementation: Ours: of attention without dropout; None is the
      device's best.
    remat: Ours: layers are computed twice, for less memory.
    dropout_rate: Of hidden states, in training.
    attention_dropout_rate: Of attention weights, in training; above 0 attention
      takes a slow path.
    num_views: Ours: cameras of a scene in one sequence; see docs/multiview.md.
    camera_embedding: Ours: what says which camera saw a token: its number
      ('view') or the rays of its pixels ('rays').
    latent_shape: Token grid (t, h, w) that upstream's configs state; None is
      what the tokenizer makes.

  Raises:
    ValueError: The heads do not divide the hidden size.
  """

  num_layers: int
  hidden_size: int
  mlp_dim: int
  num_heads: int
  num_segments: int = 0
  kernel_init_stddev: float = 0.02
  position_init: Literal["normal", "sinusoidal"] = "normal"
  num_views: int = 1
  camera_embedding: Literal["view", "rays"] | None = None
  attention_implementation: (
    Literal["xla", "cudnn", "flash", "heads_first"] | None
  ) = None
  remat: bool = False
  dropout_rate: float = 0.0
  attention_dropout_rate: float = 0.0
  latent_shape: tuple[int, ...] | None = None

  def __post_init__(self):
    names = "num_layers hidden_size mlp_dim num_views"
    _check_sizes(self, "transformer", names)
    if self.num_segments < 0:
      raise ValueError(
        f"config.transformer.num_segments={self.num_segments} must be 0 or "
        "more."
      )
    _check_dropout(self)
    if self.num_heads < 1 or self.hidden_size % self.num_heads:
      raise ValueError(
        f"config.transformer.num_heads={self.num_heads} does not divide "
        f"config.transformer.hidden_size={self.hidden_size}. Change either."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoregressiveTransformerConfig:
  """`config.transformer` of upstream's LMGVT; see `TransformerLM`.

  Attributes:
    emb_dim: Width.
    num_heads: Attention heads.
    num_layers: Layers.
    qkv_dim: Width of all heads together.
    mlp_dim: Width inside the MLPs.
    logits_via_embedding: Logits are products with the embedding table.
    learnable_position: Else sinusoids.
    dropout_rate: Of hidden states, in training.
    attention_dropout_rate: Of attention weights, in training.
    latent_shape: As in `TransformerConfig`.
  """

  emb_dim: int
  num_heads: int
  num_layers: int
  qkv_dim: int
  mlp_dim: int
  output_vocab_size: int | None = None
  logits_via_embedding: bool = False
  learnable_position: bool = True
  dropout_rate: float = 0.0
  attention_dropout_rate: float = 0.0
  latent_shape: tuple[int, ...] | None = None

  def __post_init__(self):
    names = "emb_dim num_heads num_layers qkv_dim mlp_dim"
    _check_sizes(self, "transformer", names)
    _check_dropout(self)


def _check_sizes(section: object, name: str, fields: str) -> None:
  """Raises ValueError for counts and widths that are not above 0."""
  for field in fields.split():
    value = getattr(section, field)
    sizes = value if isinstance(value, tuple | list) else (value,)
    if min(sizes, default=1) < 1:
      raise ValueError(f"config.{name}.{field}={value} must be 1 or more.")


def _check_dropout(section: object) -> None:
  """Raises ValueError for rates of dropout that are no shares."""
  for field in ("dropout_rate", "attention_dropout_rate"):
    value = getattr(section, field)
    if not 0 <= value < 1:
      raise ValueError(
        f"config.transformer.{field}={value} must be at least 0 and below 1."
      )
