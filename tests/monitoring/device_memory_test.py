"""Tests of the memory metrics, with devices that tell numbers of ours."""

import jax

from magvit3d.monitoring.device_memory import memory_metrics


class _Device:
  def __init__(self, stats):
    self._stats = stats

  def memory_stats(self):
    return self._stats


def test_the_fullest_device_counts():
  devices = [
    _Device({"bytes_in_use": 5, "peak_bytes_in_use": 30}),
    _Device({"bytes_in_use": 7, "peak_bytes_in_use": 20}),
  ]
  assert memory_metrics(devices) == {
    "device_memory_bytes": 7.0,
    "device_memory_peak_bytes": 30.0,
  }


def test_what_a_device_does_not_tell_is_left_out():
  assert memory_metrics([_Device(None)]) == {}
  assert memory_metrics([_Device({"bytes_in_use": 3}), _Device({})]) == {
    "device_memory_bytes": 3.0
  }


def test_this_processs_devices_are_looked_at():
  has_stats = jax.local_devices()[0].memory_stats() is not None
  assert bool(memory_metrics()) == has_stats
