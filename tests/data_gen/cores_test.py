"""Cores are those that a process was given, not those of its machine."""

import os
import pathlib
import subprocess
import sys

import pytest
import shrunk

from data_gen import cores


@pytest.fixture
def wide(monkeypatch):
  """A process that may use all of 64 cores, but for what a test takes away."""
  monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
  monkeypatch.setattr(os, "cpu_count", lambda: 64)
  monkeypatch.setattr(
    os, "sched_getaffinity", lambda pid: set(range(64)), raising=False
  )
  monkeypatch.setattr(cores, "_OWN_CGROUPS", pathlib.Path("/nowhere"))


def _write(root, **contents):
  for name, content in contents.items():
    path = root / name.replace("__", "/").replace("_dot_", ".")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def _set_groups(monkeypatch, tmp_path, lines):
  (tmp_path / "own").write_text(lines)
  monkeypatch.setattr(cores, "_OWN_CGROUPS", tmp_path / "own")
  monkeypatch.setattr(cores, "_CGROUPS", tmp_path)


def test_all_cores_without_limits(wide):
  assert cores.available() == 64


def test_affinity_counts(wide, monkeypatch):
  monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 9, 11})
  assert cores.available() == 3


def test_a_system_without_affinity_has_its_own_number(wide, monkeypatch):
  monkeypatch.delattr(os, "sched_getaffinity")
  monkeypatch.setattr(os, "cpu_count", lambda: None)
  assert cores.available() == 1


@pytest.mark.parametrize(
  ("text", "expected"),
  [("5", 5), ("0", 1), ("many", 64), ("", 64), ("200", 64)],
)
def test_slurms_cores_of_a_task_count(wide, monkeypatch, text, expected):
  monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
  assert cores.available() == expected


@pytest.mark.parametrize(
  ("quota", "expected"),
  [
    ("400000 100000", 4),
    ("250000 100000", 3),  # Half a core is worth a process.
    ("10000 100000", 1),
    ("max 100000", 64),
    ("no numbers at all", 64),
    ("400000 0", 64),
  ],
)
def test_the_quota_of_a_container_counts(
  wide, monkeypatch, tmp_path, quota, expected
):
  _set_groups(monkeypatch, tmp_path, "0::/\n")
  _write(tmp_path, cpu_dot_max=quota)
  assert cores.available() == expected


def test_the_least_quota_of_nested_groups_counts(wide, monkeypatch, tmp_path):
  _set_groups(monkeypatch, tmp_path, "0::/slice/job/step\n")
  _write(
    tmp_path,
    slice__cpu_dot_max="800000 100000",
    slice__job__cpu_dot_max="200000 100000",
    slice__job__step__cpu_dot_max="max 100000",
  )
  assert cores.available() == 2


def test_a_group_of_the_host_is_not_there_in_a_container(
  wide, monkeypatch, tmp_path
):
  _set_groups(monkeypatch, tmp_path, "4:cpu,cpuacct:/docker/0a1b\n2:pids:/x\n")
  for name, text in (("quota", "600000"), ("period", "200000")):
    (tmp_path / "cpu,cpuacct").mkdir(exist_ok=True)
    (tmp_path / "cpu,cpuacct" / f"cpu.cfs_{name}_us").write_text(text)
  assert cores.available() == 3
  (tmp_path / "cpu,cpuacct" / "cpu.cfs_quota_us").write_text("-1")
  assert cores.available() == 64


@pytest.mark.skipif(
  not hasattr(os, "sched_setaffinity"), reason="needs affinity"
)
def test_a_process_bound_to_a_core_renders_alone(tmp_path):
  """The whole way: `data_gen` with --num_workers=0 starts no process."""
  program = (
    "import os\n"
    "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    "from concurrent.futures import process\n"
    "process.ProcessPoolExecutor = None\n"
    "from small_data_sets import make_options\n"
    "from data_gen.generate import generate\n"
    f"options = make_options({str(tmp_path)!r}, num_workers=0)\n"
    "generate(options, log=lambda line: None)\n"
  )
  environment = shrunk.make_environment()
  environment["PYTHONPATH"] += f":{shrunk.ROOT / 'tests/fixtures'}"
  subprocess.run([sys.executable, "-c", program], env=environment, check=True)
  assert (tmp_path / "manifest.json").exists()


def test_nobody_else_counts_cores():
  found = [
    path.relative_to(shrunk.ROOT).as_posix()
    for folder in ("magvit3d", "data_gen", "benchmarks", "configs")
    for path in (shrunk.ROOT / folder).rglob("*.py")
    if any(
      word in path.read_text()
      for word in ("cpu_count", "sched_getaffinity", "nproc")
    )
  ]
  assert found == ["data_gen/cores.py"]
