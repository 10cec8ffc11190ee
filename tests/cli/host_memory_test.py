"""Freed memory stays with the process, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

# Writes and frees 64 MB ten times; prints the page faults of the last nine.
_PROGRAM = """
import resource, sys
import numpy as np
from magvit3d.cli import host_memory

if sys.argv[1] == "keep":
  host_memory.keep_freed()

def faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(8_000_000)
before = faults()
for _ in range(9):
  np.ones(8_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)
def test_freed_memory_is_used_again_without_page_faults():
  faults = {
    word: int(
      subprocess.run(
        [sys.executable, "-c", _PROGRAM, word],
        check=True,
        capture_output=True,
        text=True,
      ).stdout
    )
    for word in ("keep", "give_back")
  }
  # 64 MB are 15,625 pages of 4 kB, or 32 of 2 MB; nine times.
  assert faults["keep"] < 32
  assert faults["give_back"] >= 9 * 32
