"""Energy counters of NVIDIA GPUs, asked from the driver's libnvidia-ml.

The counter of a GPU is in millijoules since the driver was loaded (Volta and
newer have one), and counts all that runs there.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import Any

from absl import logging

from magvit3d.energy import Counter

_LIBRARY = "libnvidia-ml.so.1"
_JOULES_PER_COUNT = 1e-3
_NAME_LENGTH = 96


def find_counters(numbers: Sequence[int], library: Any = None) -> list[Counter]:
  """Returns the counters of GPUs that have one.

  Args:
    numbers: Of the GPUs among those that CUDA shows to this process.
    library: To ask; None loads the driver's. Without one there are none.
  """
  if not numbers:
    return []
  try:
    nvml = _Nvml(library or ctypes.CDLL(_LIBRARY))
    gpus = _visible(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    chosen = [gpus[number] for number in numbers if number < len(gpus)]
    found = [_counter(nvml, gpu) for gpu in chosen]
  except (OSError, AttributeError) as error:
    logging.info("GPUs do not tell their energy: %s.", error)
    return []
  return [counter for counter in found if counter]


class _Nvml:
  """Functions of the library; one that fails raises OSError."""

  def __init__(self, library: Any):
    self._library = library
    self._call("nvmlInit_v2")

  def _call(self, name: str, *arguments: Any) -> None:
    status = getattr(self._library, name)(*arguments)
    if status:
      raise OSError(status, f"{name} failed with {status}")

  def num_gpus(self) -> int:
    """Returns how many there are."""
    count = ctypes.c_uint()
    self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
    return count.value

  def gpu(self, index: int) -> ctypes.c_void_p:
    """Returns the handle of one of them."""
    gpu = ctypes.c_void_p()
    self._call(
      "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(gpu)
    )
    return gpu

  def name(self, gpu: ctypes.c_void_p) -> str:
    """Returns the product's name."""
    return self._text("nvmlDeviceGetName", gpu)

  def identity(self, gpu: ctypes.c_void_p) -> str:
    """Returns "GPU-" and a UUID."""
    return self._text("nvmlDeviceGetUUID", gpu)

  def energy(self, gpu: ctypes.c_void_p) -> int:
    """Returns the counter in millijoules."""
    energy = ctypes.c_ulonglong()
    self._call("nvmlDeviceGetTotalEnergyConsumption", gpu, ctypes.byref(energy))
    return energy.value

  def _text(self, function: str, gpu: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(_NAME_LENGTH)
    self._call(function, gpu, text, ctypes.c_uint(_NAME_LENGTH))
    return text.value.decode(errors="replace")


def _visible(nvml: _Nvml, chosen: str | None) -> list[int | None]:
  """Numbers of the GPUs that CUDA shows; None is a part of one (MIG)."""
  count = nvml.num_gpus()
  if chosen is None:
    return list(range(count))
  identities = [nvml.identity(nvml.gpu(index)) for index in range(count)]
  visible: list[int | None] = []
  for word in chosen.split(","):
    word = word.strip()
    if word.startswith("MIG"):
      visible.append(None)
      continue
    if word.isdigit() and int(word) < count:
      visible.append(int(word))
      continue
    matches = [
      index
      for index, identity in enumerate(identities)
      if word.startswith("GPU-") and identity.startswith(word)
    ]
    if len(matches) != 1:
      break  # CUDA leaves out this one, and all that come after.
    visible += matches
  return visible


def _counter(nvml: _Nvml, index: int | None) -> Counter | None:
  if index is None:
    return None
  gpu = nvml.gpu(index)
  try:
    nvml.energy(gpu)
  except OSError as error:
    logging.info("GPU %d does not tell its energy: %s.", index, error)
    return None
  return Counter(
    f"GPU {index} ({nvml.name(gpu)})",
    lambda: nvml.energy(gpu),
    _JOULES_PER_COUNT,
  )
