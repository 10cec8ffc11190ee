"""Checksums follow from the bits alone, on whatever devices they lie."""

import pathlib
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import shrunk
from checkpoint_samples import abstract, checkpoints_in, make_batches_of_numbers

from magvit3d.checkpoints.checksums import checksums

_WORDS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u4"}


def _reference(array) -> int:
  """With Python's integers, which have no size."""
  array = np.ascontiguousarray(array)
  size = 4 if np.iscomplexobj(array) else array.dtype.itemsize
  words = np.frombuffer(array.tobytes(), _WORDS[size]).tolist()
  return sum(_mix(w ^ i * 0x9E3779B9 % 2**32) for i, w in enumerate(words)) % (
    2**32
  )


def _mix(word: int) -> int:
  word = (word ^ word >> 16) * 0x85EBCA6B % 2**32
  word = (word ^ word >> 13) * 0xC2B2AE35 % 2**32
  return word ^ word >> 16


def _random(dtype, shape):
  rng = np.random.default_rng(1)
  if dtype == "bool":
    return rng.integers(2, size=shape).astype(bool)
  size = np.dtype(dtype).itemsize * int(np.prod(shape))
  return np.frombuffer(rng.bytes(size), dtype).reshape(shape)


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 5, 4)])
@pytest.mark.parametrize(
  "dtype",
  [
    "float32",
    "int32",
    "uint32",
    "float16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
  ],
)
def test_sum_is_that_of_the_weighted_words(dtype, shape):
  array = _random(dtype, shape)
  assert checksums({"a": jnp.asarray(array)}) == {"a": _reference(array)}


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_numbers_of_64_bits_are_two_words(dtype):
  array = _random(dtype, (3, 5))
  with jax.enable_x64(True):
    assert checksums([jnp.asarray(array)]) == {"0": _reference(array)}


def test_any_bit_that_changes_changes_the_sum():
  array = _random("float32", (4, 3))
  seen = {checksums([jnp.asarray(array)])["0"]}
  for place in range(12):
    for bit in range(32):
      words = array.view("<u4").copy()
      words.flat[place] ^= np.uint32(1 << bit)
      changed = jnp.asarray(words.view("float32"))
      seen.add(checksums([changed])["0"])
  assert len(seen) == 1 + 12 * 32


def test_signs_that_change_are_seen():
  """Their differences are 2^31 both, so that plain sums miss them."""
  array = jnp.arange(1.0, 9.0)
  assert checksums([array]) != checksums([array.at[2:4].multiply(-1)])


def test_leaves_that_change_places_are_seen():
  a, b = jnp.arange(3.0), jnp.arange(3.0) + 1
  assert checksums({"x": a, "y": b}) != checksums({"x": b, "y": a})
  assert checksums([a]) != checksums([a[::-1]])


def test_nothing_has_no_sums():
  assert checksums({}) == {}


# The state on one device, and split over eight in two ways.

_PROGRAM = """
import pathlib, sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from checksums_test import make_large_state
from checkpoint_samples import checkpoints_in, make_batches_of_numbers
from magvit3d.checkpoints.checksums import checksums

def place(shape, names, specs):
  mesh = Mesh(np.array(jax.devices()).reshape(shape), names)
  return jax.tree.map(lambda s: NamedSharding(mesh, PartitionSpec(*s)), specs,
                      is_leaf=lambda s: isinstance(s, tuple))

assert len(jax.devices()) == 8
specs = {"kernel": ("x", "y"), "half": (None, "x"), "step": ()}
state = make_large_state()
placings = [place(shape, ("x", "y"), specs) for shape in [(4, 2), (2, 4)]]
trees = [jax.device_put(state, placing) for placing in placings]
assert checksums(trees[0]) == checksums(trees[1]) == checksums(state)
with checkpoints_in(pathlib.Path(sys.argv[1])) as checkpoints:
  found = checkpoints.restore(trees[0])
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(trees[0])):
    assert a.sharding == b.sharding
    np.testing.assert_array_equal(a, b)
  checkpoints.save(2, trees[1], make_batches_of_numbers())
"""


def make_large_state():
  return {
    "kernel": jnp.arange(64.0).reshape(16, 4),
    "half": jnp.arange(16).reshape(2, 8).astype(jnp.bfloat16),
    "step": jnp.int32(3),
  }


@pytest.mark.slow
def test_a_checkpoint_goes_to_other_devices_and_comes_back(tmp_path):
  """From one device to eight, split over two axes, and to one again."""
  state, folder = make_large_state(), tmp_path / "checkpoints"
  with checkpoints_in(folder) as checkpoints:
    checkpoints.save(1, state, make_batches_of_numbers())
  environment = shrunk.make_environment(num_devices=8)
  here = pathlib.Path(__file__).parent
  environment["PYTHONPATH"] += f":{shrunk.ROOT / 'tests/fixtures'}:{here}"
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, str(folder)],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  with checkpoints_in(folder) as checkpoints:
    assert checkpoints.latest_step() == 2
    found = checkpoints.restore(abstract(state))
  chex.assert_trees_all_equal(found, state)
