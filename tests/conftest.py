"""Settings of JAX for all tests.

Shapes that only agree by rank promotion are errors, and compiled programs are
kept in the repository's .cache folder, so that a second run is much faster.
The number of devices is left alone: a test of several CPU devices starts its
own process.
"""

import gc
import pathlib

import jax
import pytest
import small_run

_CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "xla"

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture
def failed_reads_collected():
  """A warning of such a read comes with its test, not with a later one."""
  yield
  gc.collect()


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
  """Work folder of a small run, all whose tests only read it."""
  return small_run.make(tmp_path_factory.mktemp("runs") / "traj3d")
