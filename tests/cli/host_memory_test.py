"""Freed memory stays with the process: by jemalloc, or by glibc if told so."""

import os
import platform
import subprocess
import sys

import pytest

from magvit3d.cli import host_memory

_glibc_alone = pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)
# Writes and frees 64 MB ten times; prints the page faults of the last nine.
_PROGRAM = """
import resource, sys
import numpy as np
from magvit3d.cli import host_memory

if sys.argv[1] == "keep":
  host_memory.prepare()
assert sys.argv[2:] == ["an argument"]

def faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(8_000_000)
before = faults()
for _ in range(9):
  np.ones(8_000_000)
print(faults() - before, "jemalloc" in open("/proc/self/maps").read())
"""


def _faults_and_library(word: str, malloc: str) -> tuple[int, bool]:
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "MAGVIT3D_MALLOC": malloc,
    "LD_PRELOAD": "",
  }
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM, word, "an argument"],
    check=True,
    capture_output=True,
    text=True,
    env=environment,
  )
  faults, is_there = done.stdout.split()
  return int(faults), is_there == "True"


@_glibc_alone
@pytest.mark.parametrize("malloc", ["system", ""])
def test_freed_memory_is_used_again_without_page_faults(malloc):
  has_jemalloc = malloc != "system" and host_memory.find_jemalloc() is not None
  kept, is_jemalloc = _faults_and_library("keep", malloc)
  assert is_jemalloc == has_jemalloc
  # 64 MB are 15,625 pages of 4 kB, or 32 of 2 MB; nine times.
  assert kept < 32
  given_back, is_jemalloc = _faults_and_library("give_back", malloc)
  assert given_back >= 9 * 32
  assert not is_jemalloc


@pytest.fixture
def library(monkeypatch, tmp_path):
  """jemalloc, as if the environment had it, and JAX computed on CPUs."""
  path = tmp_path / "lib" / "libjemalloc.so.2"
  path.parent.mkdir()
  path.touch()
  monkeypatch.setattr(sys, "prefix", str(tmp_path))
  for name in ("LD_PRELOAD", "MAGVIT3D_MALLOC"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  return path


@_glibc_alone
def test_jemalloc_is_taken_once(library):
  made = host_memory.jemalloc_environment({"JAX_PLATFORMS": "cpu"})
  assert made["LD_PRELOAD"] == str(library)
  assert "dirty_decay_ms:-1" in made["MALLOC_CONF"]
  assert host_memory.jemalloc_environment(made) == {}


@_glibc_alone
def test_options_of_the_user_stay(library):
  given = {"JAX_PLATFORMS": "cpu", "MALLOC_CONF": "narenas:2"}
  made = host_memory.jemalloc_environment(given)
  assert made["MALLOC_CONF"] == "narenas:2"


@pytest.mark.parametrize(
  "more",
  [
    {"MAGVIT3D_MALLOC": "system"},
    {"LD_PRELOAD": "libother.so"},
    {"JAX_PLATFORMS": "cuda"},
  ],
)
def test_where_it_is_not_taken(library, more):
  given = {"JAX_PLATFORMS": "cpu"} | more
  assert host_memory.jemalloc_environment(given) == {}


@pytest.mark.parametrize("plugin", ["jax_plugins", "libtpu"])
def test_an_accelerator_that_jax_may_find_keeps_the_systems(
  library, monkeypatch, plugin
):
  monkeypatch.setattr(
    host_memory.importlib.util,
    "find_spec",
    lambda name: object() if name == plugin else None,
  )
  assert host_memory.jemalloc_environment({}) == {}


def test_advice_is_given_where_jemalloc_is_missing(library, monkeypatch):
  assert host_memory.advice() is None
  monkeypatch.setattr(host_memory, "find_jemalloc", lambda: None)
  is_glibc = platform.libc_ver()[0] == "glibc"
  assert (host_memory.advice() is not None) == is_glibc
  with monkeypatch.context() as patched:
    patched.setenv("JAX_PLATFORMS", "cuda")  # There it is not taken.
    assert host_memory.advice() is None
  monkeypatch.setenv("MAGVIT3D_MALLOC", "system")
  assert host_memory.advice() is None
