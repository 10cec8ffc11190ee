"""Energy that devices say they have used, in joules; never an estimate.

Counters are of whole devices: other programs on them are counted too.
"""

import dataclasses
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

_POWERCAP = pathlib.Path("/sys/class/powercap")
_JOULES_PER_COUNT = 1e-6  # Of powercap.
# A package's counter starts over after 65 kJ at the earliest: read twice as
# often as 1 kW needs.
_INTERVAL_S = 30.0


@dataclasses.dataclass(frozen=True)
class Counter:
  """A count that only grows, until it starts over.

  Attributes:
    name: Of the device.
    read: Returns the count; raises OSError.
    joules_per_count: Unit of the count.
    period: The count that is 0 again; None where there is none that a run
      could reach.
  """

  name: str
  read: Callable[[], int]
  joules_per_count: float
  period: int | None = None


def of_this_process() -> list[Counter]:
  """Returns the counters of the devices that JAX uses here, and of the CPUs."""
  import jax

  gpus = [
    device.local_hardware_id
    for device in jax.local_devices()
    if device.platform == "gpu" and device.local_hardware_id is not None
  ]
  return find_counters(gpus)


def find_counters(
  gpus: Sequence[int] = (), powercap: pathlib.Path = _POWERCAP
) -> list[Counter]:
  """Returns the counters of this machine that can be read.

  Args:
    gpus: Numbers of NVIDIA GPUs, see `nvml.find_counters`.
    powercap: Folder of Linux with the counters of CPU packages.
  """
  from magvit3d import nvml

  return [*nvml.find_counters(gpus), *_cpu_counters(powercap)]


def _cpu_counters(powercap: pathlib.Path) -> list[Counter]:
  counters = []
  for zone in sorted(powercap.glob("intel-rapl:*")):
    try:
      name = (zone / "name").read_text().strip()
      period = int((zone / "max_energy_range_uj").read_text()) + 1
      counter = Counter(
        f"CPU {name.replace('-', ' ')}",
        _file_reader(zone / "energy_uj"),
        _JOULES_PER_COUNT,
        period,
      )
      counter.read()
    except (OSError, ValueError):
      continue  # Often only root may read it.
    if name.startswith("package"):  # Others are parts, or the whole machine.
      counters.append(counter)
  return counters


def _file_reader(path: pathlib.Path) -> Callable[[], int]:
  def read() -> int:
    try:
      return int(path.read_text())
    except ValueError as error:
      raise OSError(f"{path} holds no number") from error

  return read


class Meter:
  """Adds up what counters count inside of `with`.

  A thread reads them now and then, so that none starts over unseen.

  Args:
    counters: To read.
    interval_s: Between readings.
  """

  def __init__(
    self, counters: Sequence[Counter], interval_s: float = _INTERVAL_S
  ):
    self._counters = counters
    self._interval_s = interval_s
    self._lock = threading.Lock()
    self._last: dict[str, int] = {}
    self._counts: dict[str, int] = {}
    self._end = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self) -> "Meter":
    self._read()
    if self._counters:
      self._thread.start()
    return self

  def __exit__(self, *_: Any) -> None:
    self._end.set()
    if self._counters:
      self._thread.join()

  def joules(self) -> dict[str, float]:
    """Returns what each device has used so far; none that did not tell."""
    self._read()
    with self._lock:
      return {
        counter.name: self._counts[counter.name] * counter.joules_per_count
        for counter in self._counters
        if counter.name in self._counts
      }

  def _watch(self) -> None:
    while not self._end.wait(self._interval_s):
      self._read()

  def _read(self) -> None:
    with self._lock:
      for counter in self._counters:
        try:
          count = counter.read()
        except OSError:
          continue  # What comes until it can be read again is in its count.
        before = self._last.get(counter.name, count)
        used = count - before
        if used < 0:  # It started over: by itself, or with its driver.
          used = used + counter.period if counter.period else count
        self._last[counter.name] = count
        self._counts[counter.name] = self._counts.get(counter.name, 0) + used
