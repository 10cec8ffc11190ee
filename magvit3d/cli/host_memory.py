"""Memory of the host: freed pieces stay, and are found again at once.

glibc gives the buffers of a training step back to the kernel and asks for them
again in the next one: on a CPU a fifth to two fifths of a step, in page faults.
Told to keep them it has one list of free pieces, in which compilers leave
thousands, and walks it for every buffer. jemalloc does neither; see
docs/performance.md.
"""

import ctypes
import importlib.util
import os
import pathlib
import platform
import sys
import sysconfig
from collections.abc import Mapping

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1
# 'system' keeps the C library's; 'jemalloc' is set for what is started anew.
_CHOICE = "MAGVIT3D_MALLOC"
_LIBRARY = "libjemalloc.so.2"
# One arena, which gives nothing back: more hold more, and are no faster.
_CONF = "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1"
_ADVICE = (
  "No jemalloc is installed; steps on CPUs take up to twice as long with the C "
  "library's malloc. Debian and Ubuntu: apt install libjemalloc2."
)


def jemalloc_environment(environment: Mapping[str, str]) -> dict[str, str]:
  """Returns the variables with which a new process takes jemalloc.

  Args:
    environment: That of this process.

  Returns:
    None of them where jemalloc is not installed, where JAX may find an
    accelerator, where other libraries are preloaded already, or where
    `MAGVIT3D_MALLOC` has been set.
  """
  if environment.get(_CHOICE) or environment.get("LD_PRELOAD"):
    return {}
  library = find_jemalloc()
  if library is None or not _computes_on_cpus(environment):
    return {}
  return {
    _CHOICE: "jemalloc",
    "LD_PRELOAD": str(library),
    "MALLOC_CONF": environment.get("MALLOC_CONF") or _CONF,
  }


def find_jemalloc() -> pathlib.Path | None:
  """Returns the library, of this environment or of the system."""
  if platform.libc_ver()[0] != "glibc":
    return None
  multiarch = sysconfig.get_config_var("MULTIARCH") or "."
  for folder in (
    f"{sys.prefix}/lib",
    f"/usr/lib/{multiarch}",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
  ):
    if (path := pathlib.Path(folder, _LIBRARY)).is_file():
      return path
  return None


def _computes_on_cpus(environment: Mapping[str, str]) -> bool:
  """Returns whether JAX will; it has not been imported yet."""
  if platforms := environment.get("JAX_PLATFORMS"):
    return platforms == "cpu"
  return not any(map(importlib.util.find_spec, ("jax_plugins", "libtpu")))


def prepare() -> None:
  """Takes jemalloc if it is there, and has glibc keep what is freed if not.

  Which malloc a process has is settled when it starts. So this is a program's
  first line: it starts the program anew, in the same process, with the same
  arguments. What the process holds then stays at its peak.
  """
  if found := jemalloc_environment(os.environ):
    arguments = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, arguments, os.environ | found)
  keep_freed()


def advice() -> str | None:
  """Returns what would make steps on CPUs faster, in a sentence."""
  is_settled = os.environ.get(_CHOICE) or os.environ.get("LD_PRELOAD")
  is_glibc = platform.libc_ver()[0] == "glibc"
  if is_settled or not is_glibc or not _computes_on_cpus(os.environ):
    return None
  return None if find_jemalloc() else _ADVICE


def keep_freed() -> None:
  """Tells glibc to keep what is freed; elsewhere does nothing.

  Call it before there are threads.
  """
  if platform.libc_ver()[0] != "glibc":
    return
  mallopt = ctypes.CDLL(None).mallopt
  mallopt(_M_ARENA_MAX, 1)
  mallopt(_M_MMAP_MAX, 0)
  mallopt(_M_TRIM_THRESHOLD, _NEVER)
