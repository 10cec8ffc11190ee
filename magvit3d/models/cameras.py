"""Cameras as a network reads them: rays, and vectors made of these.

Conventions are those of `data_gen.rendering.cameras`: metres, pixels, and
`camera_from_world` with x to the right, y down and z forward.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from magvit3d.models import mixed_precision

KEYS = ("views", "intrinsics", "camera_from_world")  # Of a batch.


@flax.struct.dataclass
class Cameras:
  """Cameras that saw scenes; types are loose, NumPy or JAX.

  Attributes:
    views: int (b, v), the numbers of the cameras in their rig.
    intrinsics: float32 (b, v, 3, 3), pixels.
    camera_from_world: float32 (b, v, 3, 4), metres.
  """

  views: PyTree
  intrinsics: PyTree
  camera_from_world: PyTree

  @classmethod
  def from_batch(cls, batch: Mapping[str, Any]) -> "Cameras | None":
    """Returns those of a batch; None if it has none."""
    if "views" not in batch:
      return None
    return cls(**{name: batch[name] for name in KEYS})


def plucker_rays(
  intrinsics: Float[Array, "*b 3 3"],
  camera_from_world: Float[Array, "*b 3 4"],
  grid: tuple[int, int],
  image_size: int,
) -> Float[Array, "*b h w 6"]:
  """Returns the rays through the centres of an image's cells.

  Plucker coordinates: direction d, of length 1, and moment o x d in metres,
  with o any point of the ray, here the camera's centre.

  Args:
    intrinsics: Of images of `image_size` pixels.
    camera_from_world: Rotation and translation in metres.
    grid: Cells (h, w) of the image.
    image_size: Height and width, pixels.
  """
  y, x = (
    (jnp.arange(count) + 0.5) * image_size / count - 0.5 for count in grid
  )
  y, x = jnp.meshgrid(y, x, indexing="ij")
  pixels = jnp.stack([x, y, jnp.ones_like(x)], axis=-1)  # (h, w, 3)
  precision = jax.lax.Precision.HIGHEST
  rotation = camera_from_world[..., :3]
  # The rows of R are the camera's axes in the world: R^T K^-1 takes a pixel
  # to a direction there.
  world_from_pixel = jnp.einsum(
    "...ji,...jk->...ik",
    rotation,
    jnp.linalg.inv(intrinsics),
    precision=precision,
  )
  direction = jnp.einsum(
    "...ij,hwj->...hwi", world_from_pixel, pixels, precision=precision
  )
  direction /= jnp.linalg.norm(direction, axis=-1, keepdims=True)
  centre = -jnp.einsum(
    "...ji,...j->...i",
    rotation,
    camera_from_world[..., 3],
    precision=precision,
  )
  moment = jnp.cross(centre[..., None, None, :], direction)
  return jnp.concatenate([direction, moment], axis=-1)


class ViewEmbed(nn.Module):
  """A learned vector for each camera of a rig, for all of its tokens.

  Attributes:
    num_cameras: Of the rig.
    features: Width, d.
    embedding_init: Initializer.
  """

  num_cameras: int
  features: int
  embedding_init: Callable

  @nn.compact
  def __call__(self, views: Int[Array, "b v"]) -> Float[Array, "b v 1 1 1 d"]:
    x = nn.Embed(
      self.num_cameras,
      self.features,
      embedding_init=self.embedding_init,
      name="view_embeddings",
    )(views)
    return x[:, :, None, None, None]


class RayEmbed(nn.Module):
  """A vector for each ray, the same at all times, by a small MLP.

  Attributes:
    features: Width, d.
    kernel_init: Of the layer that gives the vector.
    dtype: Of the matrix products.
  """

  features: int
  kernel_init: Callable
  dtype: DTypeLike

  @nn.compact
  def __call__(
    self, rays: Float[Array, "b v h w 6"]
  ) -> Float[Array, "b v 1 h w d"]:
    # Coordinates are about 1 in size: the first layer keeps them so, the
    # second has the size of the other embeddings.
    x = nn.Dense(self.features, name="ray_hidden")(rays)
    x = nn.gelu(x.astype(self.dtype), approximate=True)
    x = nn.Dense(
      self.features,
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      promote_dtype=mixed_precision.keep_bias,
      name="ray_output",
    )(x)
    return x[:, :, None]
