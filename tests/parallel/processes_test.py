"""Joining other processes, and what happens when one of them ends."""

import json
import shutil
import socket
import subprocess
import sys
import time

import jax
import pytest
import shrunk

from magvit3d.errors import UserError
from magvit3d.parallel import processes


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("host:1", None, None), "--num_processes and --process_id missing"),
    ((None, 2, 0), "--coordinator_address missing"),
    (("host:1", 2, 2), r"--process_id=2 is not in \[0, --num_processes=2\)"),
    (("host:1", 0, 0), "--process_id=0"),
    (("host", 2, 0), "--coordinator_address=host is not HOST:PORT"),
  ],
)
def test_wrong_flags_are_refused(arguments, message):
  with pytest.raises(UserError, match=message):
    processes.start(*arguments)


@pytest.mark.parametrize(
  ("environment", "wanted"),
  [
    ({}, False),
    ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}, False),
    ({"SLURM_STEP_NUM_TASKS": "8"}, True),
    ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
    ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
  ],
)
def test_cluster_is_known_by_its_environment(environment, wanted):
  assert processes.is_in_cluster(environment) == wanted


def test_alone_nobody_is_waited_for(monkeypatch):
  for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"):
    monkeypatch.delenv(name, raising=False)
  processes.start(None, None, None)
  processes.wait_for_all("here")
  processes.leave(1)
  assert processes.is_main()
  assert not processes.is_about_others(ValueError("Gloo AllGather failed"))


@pytest.mark.variants
@pytest.mark.parametrize("number", [0, 1])
def test_who_waits_in_vain_ends_with_a_sentence(number):
  """Not with a stack trace of C++, which JAX's own limit of time has."""
  program = (
    "from magvit3d.parallel import processes\n"
    "processes._START_S = 3\n"
    f"processes.start('localhost:{_free_port()}', 2, {number})\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", program],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
    timeout=100,
  )
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith(
    "Error: The processes of this run do not find each other (not all of them "
    "came within 3 s). Start all"
  )
  assert "stack trace" not in done.stderr


def test_a_port_that_is_in_use_is_named():
  with socket.create_server(("", 0)) as server:
    port = server.getsockname()[1]
    with pytest.raises(UserError, match=f"cannot listen at port {port}"):
      processes.start(f"localhost:{port}", 2, 0)


@pytest.mark.parametrize(
  "platform",
  ["cuda", *(pytest.param(p, marks=pytest.mark.slow) for p in ("tpu", "cdua"))],
)
def test_a_device_that_is_not_there_is_told_in_a_sentence(platform, tmp_path):
  environment = shrunk.make_environment() | {"JAX_PLATFORMS": platform}
  for command in (
    ["magvit3d.main", *shrunk.make_arguments(), f"--workdir={tmp_path / 'a'}"],
    ["magvit3d.generate", "--run=traj3d-tiny", f"--output={tmp_path / 'b'}"],
  ):
    done = subprocess.run(
      [sys.executable, "-m", *command],
      cwd=shrunk.ROOT,
      env=environment,
      capture_output=True,
      text=True,
      timeout=100,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert (
      f"JAX_PLATFORMS={platform} asks for a device that is not here" in last
    )
    assert "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())


def _free_port():
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    return probe.getsockname()[1]


def _start_two(workdir, **fields):
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    address = f"localhost:{probe.getsockname()[1]}"
  environment = shrunk.make_environment(1)
  if jax.config.jax_compilation_cache_dir:
    cache = jax.config.jax_compilation_cache_dir
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
  command = [
    *(sys.executable, "-m", "magvit3d.main"),
    *shrunk.make_arguments(**fields),
    f"--workdir={workdir}",
    f"--coordinator_address={address}",
    "--num_processes=2",
  ]
  pair = []
  for number in range(2):
    with (workdir / f"{number}.out").open("w") as output:
      process = subprocess.Popen(
        [*command, f"--process_id={number}"],
        cwd=shrunk.ROOT,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
      )
    pair.append(process)
  return pair


def _wait_for_lines(path, count, process):
  deadline = time.monotonic() + 600
  while not path.exists() or len(path.read_text().splitlines()) < count:
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)


_FIELDS = dict(stages="data,tokenizer", train_tokenizer__num_steps=400)


def _kill(tmp_path, victim):
  """Kills one of two processes that train; returns the file of metrics."""
  pair = _start_two(tmp_path, **_FIELDS)
  metrics = tmp_path / "tokenizer" / "metrics.jsonl"
  _wait_for_lines(metrics, 4, pair[victim])
  pair[victim].kill()
  killed = time.monotonic()
  pair[victim].wait()
  status = pair[1 - victim].wait(timeout=120)
  assert status != 0 and time.monotonic() - killed < 120
  output = (tmp_path / f"{1 - victim}.out").read_text()
  assert "Another process of this run ended" in output or (
    "coordination service" in output.lower()
  )
  return metrics


@pytest.mark.slow
def test_others_stop_when_the_first_is_killed(tmp_path):
  _kill(tmp_path, victim=0)


@pytest.mark.slow
def test_others_stop_when_one_is_killed_and_the_run_resumes(tmp_path):
  metrics = _kill(tmp_path, victim=1)
  # Not all of its steps, for speed.
  fields = _FIELDS | {"train_tokenizer__num_steps": 40}
  for process in _start_two(tmp_path, **fields):
    assert process.wait(timeout=600) == 0
  output = (tmp_path / "0.out").read_text()
  assert "tokenizer DONE at step 40/40" in output
  numbers = [json.loads(x)["step"] for x in metrics.read_text().splitlines()]
  assert numbers == list(range(1, 41))


def _cells(scores):
  """Values of all tables, by table, row and number of the column."""
  return {
    (table["title"], row["name"], column): (
      cell["value"] if isinstance(cell, dict) else cell
    )
    for table in scores["tables"]
    for row in table["rows"]
    for column, cell in enumerate(row["cells"])
  }


@pytest.mark.slow
def test_two_processes_run_the_main_job_and_score_as_one_does(tmp_path):
  fields = {"train_tokenizer__num_steps": 4, "train_transformer__num_steps": 4}
  for process in _start_two(tmp_path, **fields):
    assert process.wait(timeout=1200) == 0
  stages = json.loads((tmp_path / "stages.json").read_text())
  assert {stage["status"] for stage in stages.values()} == {"done"}
  assert len(stages) == 5 and (tmp_path / "report" / "index.html").is_file()
  scores = tmp_path / "evaluation" / "scores.json"
  found = _cells(json.loads(scores.read_text()))
  shutil.rmtree(scores.parent)
  done = shrunk.run_main(
    *shrunk.make_arguments(**fields), f"--workdir={tmp_path}"
  )
  assert done.returncode == 0, done.stderr
  wanted = _cells(json.loads(scores.read_text()))
  assert found.keys() == wanted.keys() and len(found) > 100
  for place, value in wanted.items():
    # Sums of float32 in another order; tokens drawn are the same ones.
    same = value if value is None else pytest.approx(value, rel=1e-4, abs=1e-5)
    assert found[place] == same, place
