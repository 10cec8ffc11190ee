"""Where arrays live: batches over the devices, everything else on all of them.

One mesh with an axis "data".
"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from magvit3d.errors import UserError


def make_mesh() -> Mesh:
  """Returns a mesh of all devices."""
  return Mesh(np.asarray(jax.devices()), ("data",))


def check_batch_size(field: str, batch_size: int, mesh: Mesh) -> None:
  """Raises UserError if a batch does not divide over the devices."""
  count = mesh.size
  if batch_size < 1 or batch_size % count:
    below, above = batch_size // count * count, -(-batch_size // count) * count
    choices = " or ".join(str(n) for n in (below, above) if n > 0)
    raise UserError(
      f"config.{field}={batch_size} does not divide over {count} devices. "
      f"Use {choices or count}."
    )


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
  """Puts arrays on all devices."""
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def replicated(tree: PyTree, mesh: Mesh) -> PyTree:
  """Returns the shapes of arrays, to be on all devices."""
  everywhere = NamedSharding(mesh, PartitionSpec())
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), tree
  )


def shard_batch(batch: PyTree, mesh: Mesh) -> PyTree:
  """Splits the first axis of a batch's arrays over the devices."""
  return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
