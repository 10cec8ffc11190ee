"""Tests of energy counters, on folders and a library made here."""

import ctypes
import json
import threading
import types

import pytest

from magvit3d import energy, nvml, run_files
from magvit3d.training.loop import Interrupted

_RANGE = 1_000_000  # Microjoules.


@pytest.fixture
def zone(tmp_path):
  """Makes a folder of Linux's powercap; returns how to set a count."""

  def put(name, label, count):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "max_energy_range_uj").write_text(f"{_RANGE}\n")
    (folder / "energy_uj").write_text(f"{count}\n")

  put.folder = tmp_path
  return put


class _Library:
  """libnvidia-ml of two GPUs, of which `silent` have no counter."""

  def __init__(self, silent=(), init_status=0):
    self.millijoules = [5_000_000, 7_000_000]
    self._silent, self._init_status = silent, init_status

  def nvmlInit_v2(self):
    return self._init_status

  def nvmlDeviceGetCount_v2(self, count):
    count._obj.value = len(self.millijoules)
    return 0

  def nvmlDeviceGetHandleByIndex_v2(self, index, gpu):
    gpu._obj.value = index.value + 1
    return 0

  def nvmlDeviceGetName(self, gpu, text, length):
    text.value = f"Test {gpu.value - 1}".encode()
    assert ctypes.sizeof(text) == length.value
    return 0

  def nvmlDeviceGetUUID(self, gpu, text, length):
    text.value = (b"GPU-aa11", b"GPU-ab22")[gpu.value - 1]
    return 0

  def nvmlDeviceGetTotalEnergyConsumption(self, gpu, count):
    index = gpu.value - 1
    count._obj.value = self.millijoules[index]
    return 3 if index in self._silent else 0


@pytest.fixture(autouse=True)
def all_visible(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_packages_are_counted_and_their_parts_are_not(zone):
  zone("intel-rapl:0", "package-0", 100_000)
  zone("intel-rapl:0:0", "core", 0)
  zone("intel-rapl:1", "package-1", 200_000)
  zone("intel-rapl:2", "psys", 0)
  zone("intel-rapl-mmio:0", "package-0", 0)  # The same one again.
  counters = energy.find_counters(powercap=zone.folder)
  with energy.Meter(counters) as meter:
    zone("intel-rapl:0", "package-0", 350_000)
    zone("intel-rapl:0:0", "core", 900_000)
    zone("intel-rapl:1", "package-1", 200_007)
    assert meter.joules() == pytest.approx(
      {"CPU package 0": 0.25, "CPU package 1": 7e-6}
    )


def test_a_counter_that_starts_over_is_followed(zone):
  zone("intel-rapl:0", "package-0", 900_000)
  counters = energy.find_counters(powercap=zone.folder)
  with energy.Meter(counters) as meter:
    for count in (100_000, 800_000, 50_000):
      zone("intel-rapl:0", "package-0", count)
      joules = meter.joules()
  # Up to 1.0 and over by 0.1; 0.7; up to 1.0 and over by 0.05.
  used = 0.2 + 0.7 + 0.25 + 2e-6  # The count after the range is 0.
  assert joules["CPU package 0"] == pytest.approx(used, abs=1e-9)


def test_a_thread_reads_between(zone):
  counts = iter((0, 900_000, 500_000, 600_000))
  was_last_read = threading.Event()

  def read():
    count = next(counts, None)
    if count is None:
      was_last_read.set()
    return 600_000 if was_last_read.is_set() else count

  counter = energy.Counter("clock", read, 1e-6, 1_000_000)
  with energy.Meter([counter], interval_s=0.001) as meter:
    assert was_last_read.wait(60)
    joules = meter.joules()
  # Read at the ends alone it would be 0.6.
  assert joules == pytest.approx({"clock": 1.6})


@pytest.mark.parametrize("content", [None, "", "many"])
def test_a_counter_that_cannot_be_read_is_none(zone, content):
  zone("intel-rapl:0", "package-0", 5)
  path = zone.folder / "intel-rapl:0" / "energy_uj"
  path.unlink() if content is None else path.write_text(content)
  assert energy.find_counters(powercap=zone.folder) == []
  assert energy.find_counters(powercap=zone.folder / "missing") == []
  with energy.Meter([]) as meter:
    assert meter.joules() == {}


def test_a_counter_that_fails_for_a_while_loses_nothing(zone):
  zone("intel-rapl:0", "package-0", 0)
  counters = energy.find_counters(powercap=zone.folder)
  with energy.Meter(counters) as meter:
    (zone.folder / "intel-rapl:0" / "energy_uj").write_text("")
    assert meter.joules() == {"CPU package 0": 0}
    zone("intel-rapl:0", "package-0", 30_000)
    assert meter.joules() == pytest.approx({"CPU package 0": 0.03})


def test_gpus_are_counted_in_joules():
  library = _Library()
  counters = nvml.find_counters([0, 1], library)
  with energy.Meter(counters) as meter:
    library.millijoules = [5_002_500, 7_000_000]
    assert meter.joules() == pytest.approx(
      {"GPU 0 (Test 0)": 2.5, "GPU 1 (Test 1)": 0}
    )
    library.millijoules = [1_000, 7_000_000]  # The driver was loaded again.
    assert meter.joules()["GPU 0 (Test 0)"] == pytest.approx(3.5)


@pytest.mark.parametrize(
  "visible, numbers, names",
  [
    (None, [1], ["GPU 1 (Test 1)"]),
    ("1", [0], ["GPU 1 (Test 1)"]),
    ("1,0", [0, 1], ["GPU 1 (Test 1)", "GPU 0 (Test 0)"]),
    ("GPU-ab", [0], ["GPU 1 (Test 1)"]),
    ("GPU-a", [0], []),  # Two begin so.
    ("0,7,1", [0, 1], ["GPU 0 (Test 0)"]),
    ("MIG-1,0", [0, 1], ["GPU 0 (Test 0)"]),
    ("", [0], []),
    ("-1", [0], []),
    (None, [], []),
  ],
)
def test_only_the_gpus_of_this_process_count(
  monkeypatch, visible, numbers, names
):
  if visible is not None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
  found = nvml.find_counters(numbers, _Library())
  assert [counter.name for counter in found] == names


def test_gpus_and_drivers_that_do_not_tell_are_left_out(monkeypatch):
  (found,) = nvml.find_counters([0, 1], _Library(silent=[0]))
  assert found.name == "GPU 1 (Test 1)"
  assert nvml.find_counters([0], _Library(init_status=9)) == []
  assert nvml.find_counters([0], object()) == []  # Lacks the functions.

  def missing(name):
    raise OSError(f"{name}: no such file")

  monkeypatch.setattr(ctypes, "CDLL", missing)
  assert nvml.find_counters([0]) == []


def test_the_gpus_that_jax_uses_are_asked(monkeypatch):
  devices = [
    types.SimpleNamespace(platform=platform, local_hardware_id=number)
    for platform, number in (("gpu", 1), ("cpu", 0), ("gpu", None))
  ]
  monkeypatch.setattr("jax.local_devices", lambda: devices)
  monkeypatch.setattr(ctypes, "CDLL", lambda name: _Library())
  found = [counter.name for counter in energy.of_this_process()]
  assert [name for name in found if "GPU" in name] == ["GPU 1 (Test 1)"]


@pytest.fixture
def clock():
  """A counter in joules, and how to move it."""
  now = [0]
  counter = energy.Counter("clock", lambda: now[0], 1.0)
  return counter, lambda count: now.__setitem__(0, count)


def _stage(workdir):
  return json.loads((workdir / "stages.json").read_text())["data"]


def test_stages_add_up_energy_over_resumes(tmp_path, clock):
  counter, move = clock
  record = run_files.StageRecord(tmp_path, ("data",), counters=[counter])
  with pytest.raises(Interrupted), record.running("data"):
    move(30)
    raise Interrupted("by hand")
  assert _stage(tmp_path)["energy"]["clock"]["joules"] == 30
  move(100)  # Nobody's.
  record = run_files.StageRecord(tmp_path, ("data",), counters=[counter])
  with record.running("data"):
    move(112)
  stage = _stage(tmp_path)
  assert stage["energy"]["clock"]["joules"] == 42
  assert stage["energy"]["clock"]["seconds"] == stage["seconds"]
  assert stage["status"] == "done" and "was_killed" not in stage
  # What was counted stays where nothing tells any more.
  with run_files.StageRecord(tmp_path, ("data",)).running("data"):
    assert _stage(tmp_path)["energy"]["clock"]["joules"] == 42
  assert _stage(tmp_path)["energy"]["clock"]["joules"] == 42


def test_a_killed_attempt_is_noted_for_good(tmp_path):
  record = run_files.StageRecord(tmp_path, ("data",))
  with record.running("data"):
    killed = (tmp_path / "stages.json").read_text()
  (tmp_path / "stages.json").write_text(killed)
  for _ in range(2):
    with run_files.StageRecord(tmp_path, ("data",)).running("data"):
      pass
    assert _stage(tmp_path)["was_killed"] is True
    assert _stage(tmp_path)["energy"] == {}
