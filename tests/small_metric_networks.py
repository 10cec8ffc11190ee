"""Networks in the place of I3D and C3D that tests compute by hand."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import small_weights

from magvit3d.evaluation import metric_networks
from magvit3d.models import video_weights

NUM_FEATURES = 3


class SmallI3D(nn.Module):
  """Mean colour of all frames, times a matrix."""

  @nn.compact
  def __call__(self, clips):
    kernel = self.param(
      "kernel", nn.initializers.ones_init(), (3, NUM_FEATURES)
    )
    logits = jnp.mean(clips, axis=(1, 2, 3)) @ kernel
    return logits, logits


class SmallC3D(nn.Module):
  """Red, green and blue of the last frame, times 100."""

  @nn.compact
  def __call__(self, clips):
    scale = self.param("scale", nn.initializers.ones_init(), ())
    return 100 * scale * jnp.mean(clips[:, -1], axis=(1, 2))


def install(monkeypatch):
  """Puts them in the networks' place."""
  for module in (metric_networks, video_weights):
    monkeypatch.setattr(module, "I3D", SmallI3D)
    monkeypatch.setattr(module, "C3D", SmallC3D)


def write_weights(folder):
  """Writes files of weights; returns their paths by the flags' names."""
  kernel = np.random.default_rng(0).standard_normal((3, NUM_FEATURES))
  arrays = {
    "i3d_weights": {"kernel": kernel},
    "c3d_weights": {"scale": np.array(1.0)},
    "lpips_weights": (
      small_weights.features("alexnet") | small_weights.heads("alexnet")
    ),
  }
  paths = {}
  for name, values in arrays.items():
    paths[name] = str(folder / f"{name}.npz")
    np.savez(paths[name], **values)
  return paths
