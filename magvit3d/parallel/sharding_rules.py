"""Which axis of which parameter is split over which axis of the mesh.

Two rules, for parameters and what optimizers keep of them:
  tensor: heads of attention and the inner width of MLPs, by name;
  fsdp: of what is left, the longest axis that divides, in arrays large enough.
Parameters are joined along fsdp when a step uses them (`gather`), so that every
device computes with whole layers (Zhao et al., https://arxiv.org/abs/2304.11277).
"""

import re
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.parallel import sharding

# Parameters by the end of their path, and the axis that is split.
_TENSOR_RULES = tuple(
  (re.compile(pattern), axis)
  for pattern, axis in (
    (r"(query|key|value)/(kernel|bias)$", -2),  # (..., heads, head width)
    (r"[Aa]ttention(_\d+)?/out/kernel$", -3),  # (heads, head width, width)
    (r"intermediate_output/(kernel|bias)$", -1),
    (r"layer_output/kernel$", -2),
    (r"MlpBlock_\d+/Dense_0/(kernel|bias)$", -1),
    (r"MlpBlock_\d+/Dense_1/kernel$", -2),
  )
)
_SPLIT_FIELDS = ("params", "opt_state")  # Ends of the fields of a state.
_MIN_SPLIT_SIZE = 1024  # Elements; smaller ones are not worth a message.


def leaf_spec(
  path: str, shape: tuple[int, ...], mesh_shape: Mapping[str, int]
) -> PartitionSpec:
  """Returns how an array of parameters is split.

  Args:
    path: Names down to it, joined by "/".
    shape: Its shape.
    mesh_shape: Size of each axis of the mesh.

  Raises:
    UserError: The tensor axis does not divide heads or width.
  """
  spec = _tensor_spec(path, shape, mesh_shape["tensor"])
  fsdp = mesh_shape["fsdp"]
  if fsdp == 1 or np.prod(shape) < _MIN_SPLIT_SIZE:
    return PartitionSpec(*spec)
  free = [
    axis
    for axis, name in enumerate(spec)
    if name is None and shape[axis] % fsdp == 0
  ]
  if free:
    spec[max(free, key=lambda axis: (shape[axis], axis))] = "fsdp"
  return PartitionSpec(*spec)


def _tensor_spec(
  path: str, shape: tuple[int, ...], size: int
) -> list[str | None]:
  spec: list[str | None] = [None] * len(shape)
  if size == 1:
    return spec
  for pattern, axis in _TENSOR_RULES:
    if pattern.search(path):
      if shape[axis] % size:
        raise UserError(
          f"config.mesh.tensor={size} does not divide the {shape[axis]} heads, "
          f"or the width, of {path} {shape}. Change config.mesh.tensor, or the "
          "transformer's num_heads or mlp_dim."
        )
      spec[axis] = "tensor"
      break
  return spec


def state_shardings(state: PyTree, mesh: Mesh | AbstractMesh) -> PyTree:
  """Returns where the arrays of a stage's state lie.

  Args:
    state: The state or its shapes. Fields whose names end in "params" or
      "opt_state" are split; others are on all devices.
    mesh: Devices.

  Returns:
    A tree of `NamedSharding` of the same structure.
  """

  def choose(path, leaf):
    names = _name(path)
    field = names.partition("/")[0]
    is_split = field.endswith(_SPLIT_FIELDS)
    spec = leaf_spec(names, leaf.shape, mesh.shape) if is_split else ()
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree_util.tree_map_with_path(choose, state)


def with_state_shardings(shapes: PyTree, mesh: Mesh) -> PyTree:
  """Returns the shapes of a state that know where their arrays shall lie."""
  return sharding.with_shardings(shapes, state_shardings(shapes, mesh))


def gather(params: PyTree) -> PyTree:
  """Joins parameters along fsdp, for use inside a jitted function.

  Does nothing outside `jax.set_mesh`, or without that axis.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.shape.get("fsdp", 1) == 1:
    return params

  def join(path, leaf):
    spec = _tensor_spec(_name(path), leaf.shape, mesh.shape["tensor"])
    return jax.lax.with_sharding_constraint(leaf, PartitionSpec(*spec))

  return jax.tree_util.tree_map_with_path(join, params)


def _name(path) -> str:
  return jax.tree_util.keystr(path, simple=True, separator="/")


def bytes_per_device(tree: PyTree, shardings: PyTree) -> int:
  """Returns the bytes of a tree's arrays, or shapes, on one device."""
  sizes = jax.tree.map(
    lambda leaf, place: (
      int(np.prod(place.shard_shape(leaf.shape))) * leaf.dtype.itemsize
    ),
    tree,
    shardings,
  )
  return sum(jax.tree.leaves(sizes))


def table(tree: PyTree, shardings: PyTree) -> str:
  """Returns how arrays are split, a line for each kind of them.

  Names that differ in numbers only share a line if they are split alike.
  """
  groups: dict[tuple[str, ...], list[int]] = {}
  for *key, size in _rows(tree, shardings):
    groups.setdefault(tuple(key), []).append(size)
  rows = [("array", "shape", "split over", "count", "bytes a device")]
  rows += [
    (*key, str(len(sizes)), f"{sum(sizes):,}") for key, sizes in groups.items()
  ]
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  lines = [
    "  ".join(
      cell.ljust(width) for cell, width in zip(row, widths, strict=True)
    )
    for row in rows
  ]
  return "\n".join(line.rstrip() for line in lines)


def _rows(
  tree: PyTree, shardings: PyTree
) -> Iterator[tuple[str, str, str, int]]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  places = jax.tree.leaves(shardings)
  for (path, leaf), place in zip(leaves, places, strict=True):
    axes = ", ".join(str(axis or "-") for axis in place.spec)
    yield (
      re.sub(r"_\d+(?=/|$)", "_*", _name(path)),
      str(tuple(leaf.shape)),
      axes if set(place.spec) - {None} else "(all devices)",
      bytes_per_device(leaf, place),
    )
