"""Small checkpoints, for the tests of what reads and writes them."""

import contextlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d import sharding
from magvit3d.data.batches import make_batches
from magvit3d.training.checkpoints import Checkpoints

# Orbax leaves reads of further leaves alone when one fails.
FAILED_READS = [
  pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
  pytest.mark.usefixtures("failed_reads_collected"),
]
IDENTITY = {"network": {"filters": 8, "sizes": (1, 2)}}


class _Numbers:
  def __len__(self):
    return 8

  def __getitem__(self, index):
    return {"number": np.int64(index)}


def make_batches_of_numbers(batch_size=2):
  return make_batches(_Numbers(), batch_size=batch_size, seed=0, num_threads=1)


def make_state(step=7, size=3, dtype=jnp.float32):
  return {
    "kernel": jnp.arange(size, dtype=dtype) + step,
    "half": jnp.full((2, 3), 1.5, jnp.bfloat16),
    "counts": jnp.arange(2, dtype=jnp.int32),
    "step": jnp.int32(step),
  }


def abstract(state=None):
  """Shapes of a state, on all devices."""
  state = state or make_state()
  everywhere = sharding.replicated(sharding.make_mesh())
  return sharding.with_shardings(
    state, jax.tree.map(lambda _: everywhere, state)
  )


@contextlib.contextmanager
def checkpoints_in(folder, identity=IDENTITY, **fields):
  checkpoints = Checkpoints(folder, identity, **fields)
  try:
    yield checkpoints
  finally:
    checkpoints.close()


def save(folder, step, batches=None):
  with checkpoints_in(folder) as checkpoints:
    batches = batches or make_batches_of_numbers()
    checkpoints.save(step, make_state(step), batches)


def restore(folder, like=None, identity=IDENTITY, batches=None):
  with checkpoints_in(folder, identity) as checkpoints:
    return checkpoints.restore(like or abstract(), batches)


def steps_in(folder: pathlib.Path) -> list[int]:
  return sorted(int(path.name) for path in folder.iterdir() if path.is_dir())
