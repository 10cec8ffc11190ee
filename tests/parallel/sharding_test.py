"""Meshes, and sizes of batches that fit them."""

import jax
import pytest

from magvit3d.errors import UserError
from magvit3d.parallel import sharding


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_of_nothing_is_refused(batch_size):
  with pytest.raises(UserError, match=f"config.size={batch_size} "):
    sharding.check_batch_size("size", batch_size, sharding.make_mesh())


def test_batch_divides_into_parts_too():
  mesh = sharding.make_mesh()
  sharding.check_batch_size("size", 6, mesh, num_parts=3)
  with pytest.raises(UserError, match=r"accumulation_steps=4.*Use 4 or 8"):
    sharding.check_batch_size("size", 6, mesh, num_parts=4)


@pytest.mark.parametrize(
  ("sizes", "message"),
  [
    ((3, 1, 1), "does not make up the 1 devices"),
    ((1, 2, -1), "does not make up the 1 devices"),
    ((-1, -1, 1), "one of them may be -1"),
    ((0, 1, 1), "sizes are 1 or more"),
  ],
)
def test_mesh_that_does_not_fit_is_refused(sizes, message):
  with pytest.raises(UserError, match=message) as error:
    sharding.make_mesh(dict(zip(sharding.AXES, sizes, strict=True)))
  assert f"config.mesh.data={sizes[0]}" in str(error.value)


@pytest.mark.parametrize("free", sharding.AXES)
def test_free_axis_takes_what_is_left(free):
  sizes = {axis: -1 if axis == free else 1 for axis in sharding.AXES}
  assert sharding.make_mesh(sizes).shape == dict.fromkeys(sharding.AXES, 1)


def test_arrays_come_back_whole():
  mesh = sharding.make_mesh()
  batch = {"x": jax.numpy.arange(4)}
  for put in (sharding.shard_batch, sharding.shard_same_batch):
    assert sharding.fetch(put(batch, mesh))["x"].tolist() == [0, 1, 2, 3]
