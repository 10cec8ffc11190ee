"""Settings of JAX for all tests.

Shapes that only agree by rank promotion are errors. Most of the time goes into
compiling programs that then run for moments: nothing is optimised, which is
three times as fast, and compiled programs are kept in the repository's .cache
folder, so that a second run is much faster. Where XLA_FLAGS gives a level of
optimisation, as in .ci/nightly, nothing is added. (Without any, floats are
rounded otherwise; where tokens are compared with MAGVIT's, tests/parity asks
for it.)

The number of devices is left alone: a test of several CPU devices starts its
own process.
"""

import gc
import os
import pathlib
import shutil
import time

import browser
import jax
import jaxlib.version
import pytest
import small_run

# Workers of pytest-xdist have a cache each: JAX writes its entries in place, so
# that one worker could read half of what the other writes. With a limit of size
# it takes a lock, but then an entry that another process wrote without a limit
# is an error. So each takes whole entries of the others before a file of tests.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
_CACHE = pathlib.Path(__file__).parents[1] / ".cache" / f"xla{_WORKER}"
_WRITTEN_S = 5.0  # After so long an entry is not being written any more.

# Read when JAX makes its first array, and by the programs that tests start.
_LEVEL = "--xla_backend_optimization_level"
_GIVEN = os.environ.get("XLA_FLAGS", "")
_QUICK = (
  f"{_LEVEL}=0",
  "--xla_llvm_disable_expensive_passes=true",
  "--xla_cpu_parallel_codegen_split_count=1",
)
if jaxlib.version.__version_info__ < (0, 11):  # Later there is no such flag.
  _QUICK += ("--xla_cpu_use_fusion_emitters=false",)
if _LEVEL not in _GIVEN:
  os.environ["XLA_FLAGS"] = " ".join([*_QUICK, _GIVEN])

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  """Of a test that is marked `variants`, the cases after the first are slow."""
  seen = set()
  for item in items:
    test = item.nodeid.partition("[")[0]
    if item.get_closest_marker("variants"):
      if test in seen:
        item.add_marker("slow")
      seen.add(test)


@pytest.fixture(scope="module", autouse=True)
def programs_of_other_workers():
  """Copies what other workers compiled so far."""
  for path in _CACHE.parent.glob("xlagw*/*-cache"):
    is_whole = time.time() - path.stat().st_mtime > _WRITTEN_S
    if is_whole and not (_CACHE / path.name).exists():
      _CACHE.mkdir(exist_ok=True)
      part = _CACHE / f"{path.name}.part"
      shutil.copyfile(path, part)
      part.rename(_CACHE / path.name)


@pytest.fixture
def failed_reads_collected():
  """A warning of such a read comes with its test, not with a later one."""
  yield
  gc.collect()


def _made_once(make, name, tmp_path_factory):
  """Returns a work folder; the first worker that wants it makes it for all."""
  own = tmp_path_factory.mktemp("runs") / name
  if not _WORKER:
    return make(own)
  import filelock  # Environments without pytest-xdist need not have it.

  made = tmp_path_factory.getbasetemp().parent / name
  with filelock.FileLock(f"{made}.lock"):
    if not made.exists():
      make(own)
      shutil.copytree(own, f"{made}.part")
      os.rename(f"{made}.part", made)
      return own
  return shutil.copytree(made, own)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
  """Work folder of a small run, all whose tests only read it."""
  return _made_once(small_run.make, "traj3d", tmp_path_factory)


@pytest.fixture(scope="session")
def scenes_run(tmp_path_factory):
  """The same of a transformer that sees three cameras, without evaluation."""
  return _made_once(small_run.make_scenes, "multiview", tmp_path_factory)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
  """A browser for all tests; without Chromium they are skipped, or fail."""
  with browser.Browser(tmp_path_factory.mktemp("chromium")) as opened:
    yield opened
