"""What a run says of itself beside its scores: data, code, machine, networks.

It is written where the scores are made. Times are in stages.json,
steps in the stages' metrics, and all fields in config.json.
"""

import datetime
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jaxlib
import numpy as np
from jaxtyping import PyTree

import magvit3d
from data_gen import cores
from magvit3d.checkpoints.code_version import code_version
from magvit3d.run import data_manifest

_CPU_INFO = pathlib.Path("/proc/cpuinfo")


def describe(
  networks: Mapping[str, PyTree],
  data_folder: pathlib.Path,
  tokens_per_clip: int | None = None,
) -> dict[str, Any]:
  """Returns the facts, as for JSON.

  Args:
    networks: Parameters by name.
    data_folder: Of the data set.
    tokens_per_clip: What the tokenizer makes of a clip; None: there is none.
  """
  code = code_version()
  return {
    "date": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
    "data": data_manifest.describe(data_folder),
    "code": {
      "version": magvit3d.__version__,
      "commit": code["commit"],
      "is_dirty": code["is_dirty"],
    },
    "hardware": _hardware(),
    "versions": {
      "Python": platform.python_version(),
      "JAX": jax.__version__,
      "jaxlib": jaxlib.__version__,
      "Flax": flax.__version__,
      "NumPy": np.__version__,
    },
    "parameters": {
      name: sum(array.size for array in jax.tree.leaves(params))
      for name, params in networks.items()
    },
    "tokens_per_clip": tokens_per_clip,
  }


def _hardware() -> dict[str, Any]:
  devices = jax.devices()
  kinds = sorted({device.device_kind for device in devices})
  return {
    "devices": f"{len(devices)} x {', '.join(kinds)}",
    "platform": devices[0].platform,
    "processes": jax.process_count(),
    "cpu": _cpu_model(_CPU_INFO),
    "cpu_cores": cores.available(),
    "memory_gib": _memory_gib(),
  }


def _cpu_model(path: pathlib.Path) -> str:
  try:
    lines = path.read_text(errors="replace").splitlines()
  except OSError:
    lines = []
  for line in lines:
    name, _, value = line.partition(":")
    if name.strip() == "model name":
      return value.strip()
  return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
  try:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  except (AttributeError, OSError, ValueError):
    return None
  return round(size / 2**30, 1)
