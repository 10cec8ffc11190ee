"""Memory of the host: freed pieces stay with the process.

glibc gives the buffers of a training step back to the kernel and asks for them
again in the next one. On a CPU that costs a fifth to two fifths of a step, in
page faults.
"""

import ctypes
import platform

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed() -> None:
  """Tells glibc to keep what is freed; elsewhere does nothing.

  Call it before there are threads. What a process holds then stays at its
  peak.
  """
  if platform.libc_ver()[0] != "glibc":
    return
  mallopt = ctypes.CDLL(None).mallopt
  mallopt(_M_ARENA_MAX, 1)
  mallopt(_M_MMAP_MAX, 0)
  mallopt(_M_TRIM_THRESHOLD, _NEVER)
