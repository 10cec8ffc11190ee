"""LPIPS: how different two frames look, learnt from people's judgements.

Zhang et al., https://arxiv.org/abs/1801.03924, version 0.1: features of a
network trained on ImageNet, each pixel's scaled to length 1; their squared
differences weighted by a linear layer without bias and averaged over the frame;
the sum over five depths.

All products are float32 at the highest precision on every device, so that a
score does not depend on the machine.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from magvit3d.models.published.lpips_backbones import ARCHITECTURES, Backbone

# Of pixels in [-1, 1]: red, green, blue.
_PIXEL_SHIFT = (-0.030, -0.088, -0.188)
_PIXEL_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # Of lengths.


class Lpips(nn.Module):
  """Compares frames.

  Attributes:
    backbone: Name of one of `lpips_backbones.ARCHITECTURES`.
  """

  backbone: str

  @nn.compact
  def __call__(self, pairs: Float[Array, "n 2 h w 3"]) -> Float[Array, " n"]:
    """Returns the distance of the two frames of each pair, 0 for equal ones.

    Args:
      pairs: RGB in [0, 1], at least as large as `min_frame_size`.

    Raises:
      ValueError: The frames are too small.
    """
    network = ARCHITECTURES[self.backbone]
    n, _, h, w, _ = pairs.shape
    if min(h, w) < network.min_frame_size:
      raise ValueError(
        f"LPIPS with {network.name} got frames of {h} x {w} pixels; it needs "
        f"{network.min_frame_size} or more."
      )
    shift, scale = (
      jnp.asarray(values)[None, None, None]
      for values in (_PIXEL_SHIFT, _PIXEL_SCALE)
    )
    frames = pairs.reshape(2 * n, h, w, 3)
    features = Backbone(network, name="backbone")(
      (2 * frames - 1 - shift) / scale
    )
    total = jnp.zeros(n)
    for depth, x in enumerate(features):
      length = jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))
      x = (x / (length + _EPSILON)).reshape(n, 2, *x.shape[1:])
      weighted = nn.Conv(
        1,
        (1, 1),
        use_bias=False,
        precision=jax.lax.Precision.HIGHEST,
        name=f"lin{depth}.model.1",
      )((x[:, 0] - x[:, 1]) ** 2)
      total += jnp.mean(weighted, axis=(1, 2, 3))
    return total
