"""Checkpoints come back as they were, or say what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d import sharding
from magvit3d.data.batches import make_batches
from magvit3d.errors import UserError
from magvit3d.training.checkpoints import Checkpoints

_IDENTITY = {"network": {"filters": 8, "sizes": (1, 2)}}


class _Numbers:
  def __len__(self):
    return 8

  def __getitem__(self, index):
    return {"number": np.int64(index)}


def _batches(batch_size=2):
  return make_batches(_Numbers(), batch_size=batch_size, seed=0, num_threads=1)


def _state(size=3):
  return {"kernel": jnp.arange(size, dtype=jnp.float32), "step": jnp.int32(7)}


@pytest.fixture
def folder(tmp_path):
  """Holds a checkpoint of step 7, whose next batch is the third."""
  batches = _batches()
  next(batches), next(batches)
  checkpoints = Checkpoints(tmp_path, _IDENTITY)
  checkpoints.save(7, _state(), batches)
  checkpoints.close()
  return tmp_path


def _restore(folder, like, identity=_IDENTITY, batches=None):
  checkpoints = Checkpoints(folder, identity)
  try:
    placed = sharding.on_all_devices(like, sharding.make_mesh())
    return checkpoints.restore(placed, batches)
  finally:
    checkpoints.close()


def test_state_and_place_in_the_data_come_back(folder):
  batches, reference = _batches(), _batches()
  like = jax.eval_shape(_state)
  found = _restore(folder, like, batches=batches)
  jax.tree.map(np.testing.assert_array_equal, found, _state())
  next(reference), next(reference)
  for _ in range(3):
    np.testing.assert_array_equal(
      next(batches)["number"], next(reference)["number"]
    )


def test_place_in_the_data_of_other_batches_is_refused(folder):
  with pytest.raises(UserError, match="batch_size of all hosts was 2 and is 4"):
    _restore(folder, _state(), batches=_batches(batch_size=4))


def test_other_field_is_named_with_both_values(folder):
  other = {"network": {"filters": 16, "sizes": (1, 2)}}
  with pytest.raises(
    UserError, match=r"network\.filters is 8 there and 16 here"
  ):
    _restore(folder, _state(), other)


def test_other_shapes_are_named(folder):
  with pytest.raises(UserError, match=r"kernel is \[3\] there and \[4\] here"):
    _restore(folder, _state(4))


def test_unfinished_checkpoint_is_left_out(folder):
  """Orbax names a folder so until it is complete."""
  unfinished = folder / "9.orbax-checkpoint-tmp-123"
  unfinished.mkdir()
  (unfinished / "state").mkdir()
  checkpoints = Checkpoints(folder, _IDENTITY)
  try:
    assert checkpoints.latest_step() == 7
  finally:
    checkpoints.close()


def test_oldest_checkpoints_are_removed(tmp_path):
  checkpoints = Checkpoints(tmp_path, _IDENTITY, max_to_keep=2)
  batches = _batches()
  for step in (1, 2, 3):
    checkpoints.save(step, _state(), batches)
  checkpoints.close()
  assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["2", "3"]
