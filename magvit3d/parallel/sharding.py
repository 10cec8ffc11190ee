"""Where arrays live on the devices of all processes.

One mesh with the axes
  data: copies of the network, each with clips of its own;
  fsdp: the same, but parameters and optimizer state are split along it;
  tensor: attention heads and the width of MLPs are split along it.
Batches are split over data x fsdp; what is not said to be split is on all
devices. Devices are in the order of their processes, so that each process holds
clips that follow each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.parallel.devices import find as find_devices

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")


def make_mesh(
  sizes: Mapping[str, int] | None = None,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """Returns a mesh of all devices.

  Args:
    sizes: `config.mesh`: the size of each of `AXES`; one may be -1, for what
      the others leave. None puts all devices on "data".
    devices: In place of all that are here.

  Raises:
    UserError: The sizes do not multiply to the number of devices, processes
      would share clips, or there is no device.
  """
  devices = find_devices() if devices is None else devices
  devices = sorted(devices, key=lambda d: (d.process_index, d.id))
  shape = _mesh_shape(sizes or {"data": -1, "fsdp": 1, "tensor": 1}, devices)
  per_process = len(devices) // len({d.process_index for d in devices})
  if per_process % shape[-1]:
    raise UserError(
      f"config.mesh.tensor={shape[-1]} does not divide the {per_process} "
      "devices of a process; heads are not split over processes."
    )
  return Mesh(np.asarray(devices).reshape(shape), AXES)


def _mesh_shape(sizes: Mapping[str, int], devices: list) -> tuple[int, ...]:
  text = ", ".join(f"config.mesh.{axis}={sizes[axis]}" for axis in AXES)
  given = [sizes[axis] for axis in AXES if sizes[axis] != -1]
  if any(size < 1 for size in given) or len(given) < len(AXES) - 1:
    raise UserError(
      f"{text}: sizes are 1 or more; one of them may be -1, for the devices "
      "that the others leave."
    )
  count = len(devices)
  rest, over = divmod(count, int(np.prod(given)))
  is_filled = len(given) < len(AXES)
  if over or (not is_filled and rest != 1):
    raise UserError(
      f"{text} does not make up the {count} devices there are. Their product "
      "must be that number; -1 stands for what the others leave."
    )
  return tuple(rest if sizes[axis] == -1 else sizes[axis] for axis in AXES)


def num_batch_shards(mesh: Mesh) -> int:
  """Returns the number of parts that a batch is split into."""
  return int(np.prod([mesh.shape[axis] for axis in BATCH_AXES]))


def divisible_batch_size(batch_size: int, mesh: Mesh) -> int:
  """Returns the least one, not below `batch_size`, that devices can share."""
  count = num_batch_shards(mesh)
  return -(-batch_size // count) * count


def check_batch_size(
  field: str,
  batch_size: int,
  mesh: Mesh,
  num_parts: int = 1,
  *,
  clips_per_sample: int = 1,
) -> None:
  """Raises UserError if a batch does not divide over the devices.

  Args:
    field: Name of `batch_size` in the config.
    batch_size: Samples.
    mesh: Devices.
    num_parts: Parts that a device works on one after the other; see
      `accumulation`.
    clips_per_sample: The config counts clips, so many for a sample.
  """
  count = num_batch_shards(mesh) * num_parts
  if batch_size < 1 or batch_size % count:
    below, above = batch_size // count * count, -(-batch_size // count) * count
    choices = " or ".join(
      str(n * clips_per_sample) for n in (below, above) if n > 0
    )
    what = f"{num_batch_shards(mesh)} devices"
    if num_parts > 1:
      what += f" x gradient_accumulation_steps={num_parts}"
    raise UserError(
      f"config.{field}={batch_size * clips_per_sample} does not divide over "
      f"{what}. Use {choices or count * clips_per_sample}."
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """On all devices."""
  return NamedSharding(mesh, PartitionSpec())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
  """Puts arrays on all devices."""
  return put(tree, jax.tree.map(lambda _: replicated(mesh), tree))


def put(tree: PyTree, shardings: PyTree) -> PyTree:
  """Puts arrays where `shardings`, a tree of the same structure, say.

  Processes must agree on the values of arrays that they hold alone.
  """
  return jax.tree.map(_put_one, tree, shardings)


def _put_one(array: Any, target: NamedSharding) -> jax.Array:
  if jax.process_count() == 1:
    return jax.device_put(array, target)
  if isinstance(array, jax.Array) and not array.is_fully_addressable:
    return jax.jit(lambda x: x, out_shardings=target)(array)
  values = np.asarray(array)
  return jax.make_array_from_callback(
    values.shape, target, lambda index: values[index]
  )


def with_shardings(shapes: PyTree, shardings: PyTree) -> PyTree:
  """Returns shapes that know where their arrays shall lie."""
  return jax.tree.map(
    lambda leaf, place: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=place
    ),
    shapes,
    shardings,
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Rows split over the devices."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def shard_batch(batch: PyTree, mesh: Mesh) -> PyTree:
  """Joins the rows that each process has into arrays over all devices."""
  split = batch_sharding(mesh)
  if jax.process_count() == 1:
    return jax.device_put(batch, split)
  return jax.tree.map(
    lambda rows: jax.make_array_from_process_local_data(split, rows), batch
  )


def shard_same_batch(batch: PyTree, mesh: Mesh) -> PyTree:
  """Splits arrays that all processes have whole."""
  split = batch_sharding(mesh)
  return put(batch, jax.tree.map(lambda _: split, batch))


def fetch(tree: PyTree) -> PyTree:
  """Returns whole arrays to every process, as NumPy arrays."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return multihost_utils.process_allgather(tree, tiled=True)
