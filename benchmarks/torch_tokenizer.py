"""The 3D tokenizer in PyTorch: the same layers, sizes and losses.

Clips are (b, c, t, h, w). Only what the configs in `cases` use is here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Norm(nn.Module):
  """Over groups of channels and the grid ('GN'), or over channels ('LN')."""

  def __init__(self, channels: int, vqvae: Mapping[str, Any]):
    super().__init__()
    self._is_layer = vqvae["norm_type"] == "LN"
    make = nn.LayerNorm if self._is_layer else nn.GroupNorm
    groups = () if self._is_layer else (vqvae["num_groups"],)
    self.norm = make(*groups, channels, eps=1e-6)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    if not self._is_layer:
      return self.norm(x)
    return self.norm(x.movedim(1, -1)).movedim(-1, 1)


def _conv(inputs: int, outputs: int, width: int, *, bias: bool = True):
  return nn.Conv3d(inputs, outputs, width, padding=width // 2, bias=bias)


class ResBlock(nn.Module):
  """Two normalised 3-wide convolutions with a shortcut."""

  def __init__(self, inputs: int, outputs: int, vqvae: Mapping[str, Any]):
    super().__init__()
    self.layers = nn.Sequential(
      Norm(inputs, vqvae),
      nn.SiLU(),
      _conv(inputs, outputs, 3, bias=False),
      Norm(outputs, vqvae),
      nn.SiLU(),
      _conv(outputs, outputs, 3, bias=False),
    )
    self.shortcut = (
      nn.Identity()
      if inputs == outputs
      else _conv(inputs, outputs, 1, bias=False)
    )

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return self.shortcut(x) + self.layers(x)


def _strides(vqvae: Mapping[str, Any]) -> list[tuple[int, int, int]]:
  return [(2 if halves else 1, 2, 2) for halves in vqvae["temporal_downsample"]]


def encoder(vqvae: Mapping[str, Any]) -> nn.Module:
  """Clips in [0, 1] to features."""
  widths = [vqvae["filters"] * m for m in vqvae["channel_multipliers"]]
  layers, channels = [_conv(3, widths[0], 3, bias=False)], widths[0]
  for level, width in enumerate(widths):
    for _ in range(vqvae["num_enc_res_blocks"]):
      layers.append(ResBlock(channels, width, vqvae))
      channels = width
    if level < len(widths) - 1:
      layers.append(nn.AvgPool3d(_strides(vqvae)[level]))
  for _ in range(vqvae["num_enc_res_blocks"]):
    layers.append(ResBlock(channels, channels, vqvae))
  last = _conv(channels, vqvae["embedding_dim"], 1)
  return nn.Sequential(*layers, Norm(channels, vqvae), nn.SiLU(), last)


def decoder(vqvae: Mapping[str, Any]) -> nn.Module:
  """Codes to pixels."""
  widths = [vqvae["filters"] * m for m in vqvae["channel_multipliers"]]
  channels = widths[-1]
  layers = [_conv(vqvae["embedding_dim"], channels, 3)]
  for _ in range(vqvae["num_dec_res_blocks"]):
    layers.append(ResBlock(channels, channels, vqvae))
  for level in reversed(range(len(widths))):
    for _ in range(vqvae["num_dec_res_blocks"]):
      layers.append(ResBlock(channels, widths[level], vqvae))
      channels = widths[level]
    if level > 0:
      layers.append(_upsample(channels, _strides(vqvae)[level - 1], vqvae))
  return nn.Sequential(
    *layers, Norm(channels, vqvae), nn.SiLU(), _conv(channels, 3, 3)
  )


def _upsample(channels, factors, vqvae) -> nn.Module:
  if vqvae["upsample"] == "nearest":
    return nn.Sequential(
      nn.Upsample(scale_factor=factors), _conv(channels, channels, 3)
    )
  if factors != (2, 2, 2):
    raise ValueError("A transposed convolution doubles all three axes here.")
  return nn.ConvTranspose3d(channels, channels, 4, stride=2, padding=1)


class Generator(nn.Module):
  """Encoder, quantizer, decoder."""

  def __init__(self, vqvae: Mapping[str, Any]):
    super().__init__()
    self._settings = vqvae
    self.encoder, self.decoder = encoder(vqvae), decoder(vqvae)
    size = vqvae["codebook_size"], vqvae["embedding_dim"]
    self.codebook = nn.Parameter(torch.rand(size) * 0.2 - 0.1)

  def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the reconstruction and the quantizer's loss."""
    features = self.encoder(clips)
    channels_last = features.movedim(1, -1)
    rows = channels_last.flatten(0, -2)
    distances = (
      rows.square().sum(1, keepdim=True)
      - 2 * rows @ self.codebook.T
      + self.codebook.square().sum(1)
    )
    codes = self.codebook[distances.argmin(1)].view(channels_last.shape)
    loss = 0.0
    if self.training:
      settings = self._settings
      loss = settings["commitment_cost"] * functional.mse_loss(
        channels_last, codes.detach()
      )
      loss += settings["embedding_loss_ratio"] * functional.mse_loss(
        codes, channels_last.detach()
      )
      loss += settings["entropy_loss_ratio"] * _entropy_loss(
        -distances / settings["entropy_temperature"]
      )
      codes = channels_last + (codes - channels_last).detach()
    return self.decoder(codes.movedim(-1, 1)), loss


def _entropy_loss(affinity: torch.Tensor) -> torch.Tensor:
  probabilities = affinity.softmax(-1)
  row_entropy = -(probabilities * affinity.log_softmax(-1)).sum(-1).mean()
  mean = probabilities.mean(0)
  return row_entropy + (mean * (mean + 1e-5).log()).sum()
