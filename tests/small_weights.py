"""Weights of LPIPS in PyTorch's layout, drawn from their names. NumPy only."""

import numpy as np
from parity import recipe

# Of each convolution: torchvision's number, channels in and out, window.
BACKBONES = {
  "vgg16": (
    (0, 3, 64, 3),
    (2, 64, 64, 3),
    (5, 64, 128, 3),
    (7, 128, 128, 3),
    (10, 128, 256, 3),
    (12, 256, 256, 3),
    (14, 256, 256, 3),
    (17, 256, 512, 3),
    (19, 512, 512, 3),
    (21, 512, 512, 3),
    (24, 512, 512, 3),
    (26, 512, 512, 3),
    (28, 512, 512, 3),
  ),
  "alexnet": (
    (0, 3, 64, 11),
    (3, 64, 192, 5),
    (6, 192, 384, 3),
    (8, 384, 256, 3),
    (10, 256, 256, 3),
  ),
}
HEAD_CHANNELS = {
  "vgg16": (64, 128, 256, 512, 512),
  "alexnet": (64, 192, 384, 256, 256),
}


def features(backbone, seed=0):
  """The state dict of torchvision's `features`."""
  arrays = {}
  for number, before, after, size in BACKBONES[backbone]:
    key = f"features.{number}"
    kernel = recipe.array(key, (after, before, size, size), seed=seed)
    # Relu halves the variance.
    arrays[f"{key}.weight"] = kernel * np.float32(
      np.sqrt(2 / (before * size**2))
    )
    arrays[f"{key}.bias"] = recipe.array(f"{key}.b", (after,), seed=seed) / 10
  return arrays


def heads(backbone, seed=0):
  """The state dict of the linear layers."""
  return {
    f"lin{i}.model.1.weight": recipe.array(
      f"lin{i}", (1, channels, 1, 1), "uniform", seed
    )
    for i, channels in enumerate(HEAD_CHANNELS[backbone])
  }
