"""Settings of JAX for all tests.

Shapes that only agree by rank promotion are errors. Most of the time goes into
compiling programs that then run for moments: LLVM optimises less, and compiled
programs are kept in the repository's .cache folder, so that a second run is
much faster. (Without any optimisation floats are rounded otherwise, which
changes some of the tokens that are compared with MAGVIT's.)

The number of devices is left alone: a test of several CPU devices starts its
own process.
"""

import gc
import os
import pathlib

import browser
import jax
import pytest
import small_run

# Workers of pytest-xdist share it. JAX writes its entries in place; where their
# size is limited it takes a lock: none reads half of what another writes.
_CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "xla"
_CACHE_BYTES = 4 * 2**30

# Read when JAX makes its first array, and by the programs that tests start.
_FLAGS = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"{_FLAGS} --xla_backend_optimization_level=1"

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_compilation_cache_max_size", _CACHE_BYTES)
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


@pytest.fixture(scope="session")
def scenes_run(tmp_path_factory):
  """The same of a transformer that sees three cameras, without evaluation."""
  return small_run.make_scenes(tmp_path_factory.mktemp("runs") / "multiview")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
  """A browser for all tests; without Chromium they are skipped, or fail."""
  with browser.Browser(tmp_path_factory.mktemp("chromium")) as opened:
    yield opened
