"""What a step measured, in a JSON file that is complete at any moment."""

import json
import pathlib
import platform
import subprocess
import time
import traceback
from collections.abc import Callable
from typing import Any

from absl import flags

from data_gen import cores
from data_gen.files import user_paths
from magvit3d.files import atomic_file

_OUTPUT = flags.DEFINE_string("output", "gpu_check", "Folder of the results.")
SMALL = flags.DEFINE_boolean(
  "small", False, "Small sizes, to try the programs on two CPU cores."
)
WORK = flags.DEFINE_string("work", "gpu_check_work", "Folder of runs, if any.")
_MAX_MESSAGE = 600  # Characters.


def output_folder() -> pathlib.Path:
  """Returns the folder of the results, which is made."""
  folder = user_paths.read(_OUTPUT.value).absolute()
  folder.mkdir(parents=True, exist_ok=True)
  return folder


def message(error: BaseException) -> str:
  """Says in short what went wrong."""
  text = " ".join(str(error).split())
  return f"{type(error).__name__}: {text}"[:_MAX_MESSAGE]


class Results:
  """Measurements of a step; each is written as soon as it is there.

  Args:
    step: Names the file.

  Attributes:
    num_failed: Measurements that failed.
  """

  def __init__(self, step: str):
    self.num_failed = 0
    self._path = output_folder() / f"{step}.json"
    self._start = time.monotonic()
    self._content: dict[str, Any] = {"machine": _machine()}
    self._write()

  def put(self, section: str, name: str, value: Any) -> None:
    """Adds a value to a section."""
    self._content.setdefault(section, {})[name] = value
    self._write()

  def attempt(
    self, section: str, name: str, measure: Callable[[], Any]
  ) -> Any | None:
    """Adds what `measure` returns, or why it failed; returns the former."""
    start = time.monotonic()
    try:
      value = measure()
    except Exception as error:  # The next measurement may work.
      self.num_failed += 1
      traceback.print_exc()
      self.put(section, name, {"error": message(error)})
      return None
    self.put(section, name, value)
    seconds = time.monotonic() - start
    print(f"{section}, {name} ({seconds:.1f} s): {value}", flush=True)
    return value

  def _write(self) -> None:
    self._content["seconds"] = round(time.monotonic() - self._start, 1)
    text = json.dumps(self._content, indent=1, default=float) + "\n"
    atomic_file.write_text(self._path, text)


def _machine() -> dict[str, Any]:
  """Device, versions, and how float32 is multiplied."""
  import jax

  return {
    "device": jax.devices()[0].device_kind,
    "platform": jax.default_backend(),
    "card": _card(),
    "cores": cores.available(),
    "python": platform.python_version(),
    "jax": jax.__version__,
    "torch": _torch_version(),
    "float32_products": _float32_products(),
  }


def _float32_products() -> str:
  import jax

  if jax.default_backend() != "gpu":
    return "float32"
  precision = jax.config.jax_default_matmul_precision
  return "float32" if precision == "highest" else "TF32, in torch as well"


def _card() -> str | None:
  query = "--query-gpu=name,driver_version,memory.total,clocks.sm,power.limit"
  try:
    found = subprocess.run(
      ["nvidia-smi", query, "--format=csv,noheader"],
      capture_output=True,
      text=True,
      timeout=20,
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return found.stdout.strip() or None


def _torch_version() -> str | None:
  try:
    import torch
  except ImportError:
    return None
  return torch.__version__
