"""ResNet-50, whose features say how alike two frames look.

He et al. (https://arxiv.org/abs/1512.03385), as torchvision has it: the second
convolution of a block carries the stride, windows are padded by the same
number of pixels on both sides, batch norm uses its stored statistics. Modules
have torchvision's names ("layer1.0", "downsample.1"), so that its weights
convert by name (`resnet_weights`).

Frames are resized to 224 x 224 bilinearly with half-pixel centres and without
antialiasing: clips are mostly smaller than that, and there antialiasing would
change nothing.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from magvit3d.models.published.resize import resize_bilinear

FRAME_SIZE = 224  # Pixels.
NUM_CLASSES = 1000
_BATCH_NORM_EPSILON = 1e-5
# Of ImageNet's pixels in [0, 1]: red, green, blue.
_PIXEL_MEAN = (0.485, 0.456, 0.406)
_PIXEL_STDDEV = (0.229, 0.224, 0.225)
# Of each layer: blocks, and channels inside a block (4 times as many leave).
_LAYERS = ((3, 64), (4, 128), (6, 256), (3, 512))


class FrozenBatchNorm(nn.Module):
  """Batch norm with stored statistics."""

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    zeros, ones = nn.initializers.zeros_init(), nn.initializers.ones_init()
    channels = (x.shape[-1],)
    mean = self.param("moving_mean", zeros, channels)
    variance = self.param("moving_variance", ones, channels)
    scale = self.param("scale", ones, channels)
    bias = self.param("bias", zeros, channels)
    scale *= jax.lax.rsqrt(variance + _BATCH_NORM_EPSILON)
    bias -= mean * scale
    scale, bias = (
      y.astype(self.dtype)[None, None, None] for y in (scale, bias)
    )
    return x * scale + bias


def _conv(filters, kernel_size, stride, dtype, name):
  """Convolution without bias, padded as PyTorch pads."""
  return nn.Conv(
    filters,
    (kernel_size, kernel_size),
    (stride, stride),
    padding=kernel_size // 2,
    use_bias=False,
    dtype=dtype,
    name=name,
  )


class Bottleneck(nn.Module):
  """Narrows, looks 3x3, widens, and adds what came in.

  Attributes:
    filters: Channels inside; 4 times as many leave.
    stride: Of the 3x3 convolution, and so of the block.
    dtype: Type of the products.
  """

  filters: int
  stride: int = 1
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n y x d"]:
    shortcut = x
    steps = (
      (self.filters, 1, 1),
      (self.filters, 3, self.stride),
      (4 * self.filters, 1, 1),
    )
    for i, (filters, size, stride) in enumerate(steps, start=1):
      x = _conv(filters, size, stride, self.dtype, f"conv{i}")(x)
      x = FrozenBatchNorm(self.dtype, name=f"bn{i}")(x)
      if i < len(steps):
        x = nn.relu(x)
    if shortcut.shape != x.shape:
      shortcut = _conv(
        4 * self.filters, 1, self.stride, self.dtype, "downsample.0"
      )(shortcut)
      shortcut = FrozenBatchNorm(self.dtype, name="downsample.1")(shortcut)
    return nn.relu(x + shortcut)


class ResNet50(nn.Module):
  """Classifies frames into the 1000 classes of ImageNet.

  Attributes:
    dtype: Type of the products; what it returns is float32.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, frames: Float[Array, "n h w 3"]
  ) -> tuple[Float[Array, "n 1000"], Float[Array, "n 7 7 2048"]]:
    """Returns class logits and the last feature map.

    Args:
      frames: RGB of any size, values in [0, 1].
    """
    x = resize_bilinear(frames, (FRAME_SIZE, FRAME_SIZE), "half_pixel")
    mean, stddev = (
      jnp.asarray(values)[None, None, None]
      for values in (_PIXEL_MEAN, _PIXEL_STDDEV)
    )
    x = ((x - mean) / stddev).astype(self.dtype)
    x = _conv(64, 7, 2, self.dtype, "conv1")(x)
    x = nn.relu(FrozenBatchNorm(self.dtype, name="bn1")(x))
    x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    for layer, (num_blocks, filters) in enumerate(_LAYERS, start=1):
      for block in range(num_blocks):
        stride = 2 if block == 0 and layer > 1 else 1
        name = f"layer{layer}.{block}"
        x = Bottleneck(filters, stride, self.dtype, name=name)(x)
    features = x.astype(jnp.float32)
    pooled = jnp.mean(features, axis=(1, 2))
    return nn.Dense(NUM_CLASSES, name="fc")(pooled), features
