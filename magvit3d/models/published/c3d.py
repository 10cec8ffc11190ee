"""C3D: the action recogniser whose logits the inception score uses.

Tran et al. (https://arxiv.org/abs/1412.0767), trained on Sports-1M and then
UCF-101, frozen. Parameter names and layouts are those of the published
weights as upstream converts them: the first dense layer reads features with
channels first, then time, rows, columns.

All products are float32 at the highest precision on every device, so that a
score does not depend on the machine.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from magvit3d.models.published.resize import resize_bilinear

FRAME_SIZE = 112  # Pixels.
NUM_FRAMES = 16
NUM_CLASSES = 101
_PRECISION = jax.lax.Precision.HIGHEST

# Convolutions between poolings: (name, filters).
_STAGES = (
  (("conv1a", 64),),
  (("conv2a", 128),),
  (("conv3a", 256), ("conv3b", 256)),
  (("conv4a", 512), ("conv4b", 512)),
  (("conv5a", 512), ("conv5b", 512)),
)


class C3D(nn.Module):
  """Classifies clips into the 101 actions of UCF-101."""

  @nn.compact
  def __call__(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b 101"]:
    """Returns class logits.

    Args:
      clips: 16 RGB frames of any size, values in [0, 1].

    Raises:
      ValueError: There are not 16 frames.
    """
    if clips.shape[1] != NUM_FRAMES:
      raise ValueError(
        f"C3D got clips of {clips.shape[1]} frames; it was trained on, and "
        f"only reads, {NUM_FRAMES}. Score clips of {NUM_FRAMES} frames, or "
        "leave out the inception score."
      )
    offset = self.param(
      "x_offset",
      nn.initializers.zeros_init(),
      (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3),
    )
    x = resize_bilinear(clips, (FRAME_SIZE, FRAME_SIZE), "corners")
    x = 255 * x[..., ::-1] + offset[None]  # Blue, green, red.
    for stage, convolutions in enumerate(_STAGES):
      for name, filters in convolutions:
        x = nn.Conv(filters, (3, 3, 3), precision=_PRECISION, name=name)(x)
        x = nn.relu(x)
      if stage == len(_STAGES) - 1:
        # 7 x 7 cells: a row and a column of zeros make them even.
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)))
      window = (1, 2, 2) if stage == 0 else (2, 2, 2)
      x = nn.max_pool(x, window, window)
    x = jnp.moveaxis(x, -1, 1).reshape(x.shape[0], -1)
    for name in ("fc6", "fc7"):
      x = nn.relu(nn.Dense(4096, precision=_PRECISION, name=name)(x))
    return nn.Dense(NUM_CLASSES, precision=_PRECISION, name="fc8")(x)
