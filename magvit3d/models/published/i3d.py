"""I3D: the action recogniser whose features the Frechet video distance uses.

Inception-v1 inflated to 3D (Carreira and Zisserman,
https://arxiv.org/abs/1705.07750), trained on Kinetics-400, frozen. Parameter
names and numbers are those of the published TensorFlow weights: SAME paddings
as TensorFlow has them, batch norm with stored statistics and without scale.

All products are float32 at the highest precision on every device, so that a
score does not depend on the machine.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from magvit3d.models.published.resize import resize_bilinear
from magvit3d.models.resampling import max_pool

FRAME_SIZE = 224  # Pixels.
MIN_FRAMES = 9
NUM_CLASSES = 400
_BATCH_NORM_EPSILON = 1e-3

# Of each Inception block: channels of the 1x1x1 branch; of the two branches
# that narrow and then look 3x3x3; and of the branch behind a max pooling.
_BLOCKS = {
  "Mixed_3b": (64, (96, 128), (16, 32), 32),
  "Mixed_3c": (128, (128, 192), (32, 96), 64),
  "Mixed_4b": (192, (96, 208), (16, 48), 64),
  "Mixed_4c": (160, (112, 224), (24, 64), 64),
  "Mixed_4d": (128, (128, 256), (24, 64), 64),
  "Mixed_4e": (112, (144, 288), (32, 64), 64),
  "Mixed_4f": (256, (160, 320), (32, 128), 128),
  "Mixed_5b": (256, (160, 320), (32, 128), 128),
  "Mixed_5c": (384, (192, 384), (48, 128), 128),
}
LAST = "Mixed_5c"
# Blocks with a max pooling before them: its window and strides (t, h, w).
_POOLINGS = {
  "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
  "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
  "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


class FrozenBatchNorm(nn.Module):
  """Batch norm with stored statistics, shift and no scale."""

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
    zeros, ones = nn.initializers.zeros_init(), nn.initializers.ones_init()
    channels = (x.shape[-1],)
    mean = self.param("moving_mean", zeros, channels)
    variance = self.param("moving_variance", ones, channels)
    shift = self.param("beta", zeros, channels)
    scale = jax.lax.rsqrt(variance + _BATCH_NORM_EPSILON)
    return (
      x * scale[None, None, None, None]
      + (shift - mean * scale)[None, None, None, None]
    )


class Unit(nn.Module):
  """Convolution without bias, batch norm, relu."""

  filters: int
  kernel_size: int = 1
  stride: int = 1

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b s y x d"]:
    x = nn.Conv(
      self.filters,
      (self.kernel_size,) * 3,
      (self.stride,) * 3,
      use_bias=False,
      precision=jax.lax.Precision.HIGHEST,
      name="conv_3d",
    )(x)
    return nn.relu(FrozenBatchNorm(name="batch_norm")(x))


class Inception(nn.Module):
  """Four branches over the same input, their channels side by side.

  Attributes:
    wide: Channels of the 1x1x1 branch.
    first: Channels of the first 3x3x3 branch: narrow, then out.
    second: Of the second one.
    pooled: Channels of the branch behind a max pooling.
    unit: Makes its convolutions, from channels, kernel size, stride and name.
  """

  wide: int
  first: tuple[int, int]
  second: tuple[int, int]
  pooled: int
  unit: Callable[..., nn.Module] = Unit

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w d"]:
    unit = self.unit
    branches = [unit(self.wide, name="Branch_0.Conv3d_0a_1x1")(x)]
    for index, (narrow, out) in enumerate((self.first, self.second), start=1):
      y = unit(narrow, name=f"Branch_{index}.Conv3d_0a_1x1")(x)
      branches.append(unit(out, 3, name=f"Branch_{index}.Conv3d_0b_3x3")(y))
    y = max_pool(x, (3, 3, 3), (1, 1, 1))
    branches.append(unit(self.pooled, name="Branch_3.Conv3d_0b_1x1")(y))
    return jnp.concatenate(branches, axis=-1)


def trunk(
  x: Float[Array, "b t h w 3"],
  unit: Callable[..., nn.Module] = Unit,
  channel_share: float = 1.0,
) -> dict[str, Float[Array, "b s y x d"]]:
  """Returns I3D's maps of clips by layer, those of `LAST` are its features.

  For a compact method to call.

  Args:
    x: Values in [-1, 1].
    unit: See `Inception`.
    channel_share: Of the published channels; every layer has 4 at least.
  """

  def scaled(channels):
    if isinstance(channels, tuple):
      return tuple(map(scaled, channels))
    return max(round(channels * channel_share), 4)

  x = unit(scaled(64), 7, 2, name="Conv3d_1a_7x7")(x)
  x = max_pool(x, (1, 3, 3), (1, 2, 2))
  x = unit(scaled(64), name="Conv3d_2b_1x1")(x)
  x = unit(scaled(192), 3, name="Conv3d_2c_3x3")(x)
  maps = {}
  for name, channels in _BLOCKS.items():
    if name in _POOLINGS:
      x = max_pool(x, *_POOLINGS[name])
    x = maps[name] = Inception(*scaled(channels), unit=unit, name=name)(x)
  return maps


class Classifier(nn.Module):
  """Maps features to class logits; a module for the sake of its names."""

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w d"]) -> Float[Array, "b t h w k"]:
    return nn.Conv(
      NUM_CLASSES,
      (1, 1, 1),
      precision=jax.lax.Precision.HIGHEST,
      name="conv_3d",
    )(x)


class I3D(nn.Module):
  """Classifies clips into the 400 actions of Kinetics."""

  @nn.compact
  def __call__(
    self, clips: Float[Array, "b t h w 3"]
  ) -> tuple[Float[Array, "b 400"], Float[Array, "b 1024"]]:
    """Returns what the network says of clips, averaged over time.

    Args:
      clips: At least 9 frames of any size, values in [0, 1].

    Returns:
      logits: Of the classes.
      pool: Features before the last layer.

    Raises:
      ValueError: There are fewer than 9 frames.
    """
    num_frames = clips.shape[1]
    if num_frames < MIN_FRAMES:
      raise ValueError(
        f"I3D got clips of {num_frames} frames; it halves time three times and "
        f"then averages pairs, and so needs at least {MIN_FRAMES}. Score "
        "longer clips, or leave out the Frechet video distance."
      )
    x = resize_bilinear(clips, (FRAME_SIZE, FRAME_SIZE), "origin")
    x = trunk(2 * x - 1)[LAST]
    x = nn.avg_pool(x, (2, 7, 7), (1, 1, 1), "VALID")
    logits = Classifier(name="Logits.Conv3d_0c_1x1")(x)
    # One cell is left in height and width.
    return jnp.mean(logits, axis=(1, 2, 3)), jnp.mean(x, axis=(1, 2, 3))
