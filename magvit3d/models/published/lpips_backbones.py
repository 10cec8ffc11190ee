"""The convolutions of VGG-16 and AlexNet, whose features LPIPS compares.

Simonyan and Zisserman (https://arxiv.org/abs/1409.1556) and Krizhevsky
(https://arxiv.org/abs/1404.5997), as torchvision has them; modules have its
names ("features.0"). The classifiers behind them are left out.
"""

import dataclasses

import flax.linen as nn
import jax
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Layer:
  """A convolution and a relu.

  Attributes:
    number: torchvision's: "features.NUMBER".
    filters: Channels that leave.
    kernel_size: Height and width of its window.
    padding: Pixels of zeros on all sides.
    stride: Of the convolution.
    is_pooled: Whether a max pooling comes before.
    is_compared: Whether LPIPS compares what leaves.
  """

  number: int
  filters: int
  kernel_size: int = 3
  padding: int = 1
  stride: int = 1
  is_pooled: bool = False
  is_compared: bool = False


@dataclasses.dataclass(frozen=True)
class Architecture:
  """A row of layers.

  Attributes:
    name: As torchvision calls it.
    layers: In their order.
    pool_size: Window of the max poolings, whose stride is 2.
    min_frame_size: Pixels of which something is left in the last layer.
  """

  name: str
  layers: tuple[Layer, ...]
  pool_size: int
  min_frame_size: int


def _vgg16_layers() -> tuple[Layer, ...]:
  layers, number = [], 0
  for stage, (count, filters) in enumerate(
    ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
  ):
    for i in range(count):
      is_pooled = stage > 0 and i == 0
      number += is_pooled
      layers.append(
        Layer(number, filters, is_pooled=is_pooled, is_compared=i == count - 1)
      )
      number += 2  # Itself and its relu.
  return tuple(layers)


VGG16 = Architecture("vgg16", _vgg16_layers(), 2, 16)
ALEXNET = Architecture(
  "alexnet",
  (
    Layer(0, 64, 11, padding=2, stride=4, is_compared=True),
    Layer(3, 192, 5, padding=2, is_pooled=True, is_compared=True),
    Layer(6, 384, is_pooled=True, is_compared=True),
    Layer(8, 256, is_compared=True),
    Layer(10, 256, is_compared=True),
  ),
  3,
  31,
)
ARCHITECTURES = {network.name: network for network in (VGG16, ALEXNET)}


class Backbone(nn.Module):
  """Features of frames at five depths.

  Attributes:
    network: Which.
  """

  network: Architecture

  @nn.compact
  def __call__(
    self, x: Float[Array, "n h w 3"]
  ) -> list[Float[Array, "n _ _ _"]]:
    size, found = self.network.pool_size, []
    for layer in self.network.layers:
      if layer.is_pooled:
        x = nn.max_pool(x, (size, size), (2, 2))
      x = nn.relu(
        nn.Conv(
          layer.filters,
          (layer.kernel_size,) * 2,
          (layer.stride,) * 2,
          padding=layer.padding,
          precision=jax.lax.Precision.HIGHEST,
          name=f"features.{layer.number}",
        )(x)
      )
      if layer.is_compared:
        found.append(x)
    return found
