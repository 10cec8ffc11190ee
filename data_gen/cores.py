"""How many cores this process may use.

A machine's own number is mostly not it: a batch system or `taskset` gives a
process some of them, and a container a share of their time.
"""

import math
import os
import pathlib

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_OWN_CGROUPS = pathlib.Path("/proc/self/cgroup")
_SLURM = "SLURM_CPUS_PER_TASK"


def available() -> int:
  """Returns the cores that this process may use, 1 or more.

  It is the least of: the machine's, those the process may run on, the quotas
  of its control groups (a part of a core counts as one), and what Slurm's
  --cpus-per-task gave it, which not all clusters enforce.
  """
  counts = [os.cpu_count() or 1, *_quotas(_OWN_CGROUPS, _CGROUPS)]
  if hasattr(os, "sched_getaffinity"):  # Not on macOS and Windows.
    counts.append(len(os.sched_getaffinity(0)))
  given = os.environ.get(_SLURM, "")
  if given.isdecimal():
    counts.append(int(given))
  return max(1, math.ceil(min(counts)))


def _quotas(own: pathlib.Path, root: pathlib.Path) -> list[float]:
  """Cores that each control group allows, from this process's own upwards.

  In a container the file may name a group of the host, which is not there:
  then only the groups above it, up to `root`, tell.
  """
  try:
    lines = own.read_text().splitlines()
  except OSError:  # No Linux.
    return []
  quotas = []
  for line in lines:
    _, controllers, path = line.split(":", 2)
    names = controllers.split(",")
    if "cpu" in names:  # Version 1.
      bases = {root / "cpu", root / controllers}
      read = _read_version_1
    elif controllers == "":
      bases, read = {root}, _read_version_2
    else:
      continue
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for base in bases:
      for depth in range(len(parts), -1, -1):
        quota = read(base.joinpath(*parts[:depth]))
        if quota is not None:
          quotas.append(quota)
  return quotas


def _read_version_1(group: pathlib.Path) -> float | None:
  quota = _number(group / "cpu.cfs_quota_us")
  period = _number(group / "cpu.cfs_period_us")
  return quota / period if quota and period and quota > 0 else None


def _read_version_2(group: pathlib.Path) -> float | None:
  try:
    quota, period = (group / "cpu.max").read_text().split()
    return int(quota) / int(period)
  except (OSError, ValueError, ZeroDivisionError):  # Or it says "max".
    return None


def _number(path: pathlib.Path) -> int | None:
  try:
    return int(path.read_text())
  except (OSError, ValueError):
    return None
