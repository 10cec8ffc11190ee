"""How full the memory of the accelerators is."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import jax


@runtime_checkable
class Device(Protocol):
  """What is asked of a `jax.Device`."""

  def memory_stats(self) -> Mapping[str, int] | None:
    """Numbers of the allocator, or None."""


def memory_metrics(
  devices: Sequence[Device] | None = None,
) -> dict[str, float]:
  """Returns the memory of the fullest device, in bytes.

  Args:
    devices: Those to look at; this process's unless given.

  Returns:
    device_memory_bytes: In use now.
    device_memory_peak_bytes: Most in use so far, in this process.
    Without those that the device does not tell; the CPU tells none.
  """
  devices = jax.local_devices() if devices is None else devices
  found = [stats for device in devices if (stats := device.memory_stats())]
  names = {
    "device_memory_bytes": "bytes_in_use",
    "device_memory_peak_bytes": "peak_bytes_in_use",
  }
  metrics = {}
  for name, key in names.items():
    values = [stats[key] for stats in found if key in stats]
    if values:
      metrics[name] = float(max(values))
  return metrics
