"""Jobs of a real Slurm, started on this machine: preempted, and on to the end.

Slurm lets a job that is queued again wait for two minutes; the tests do not.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import pytest
import shrunk
import slurm_cluster

from magvit3d.checkpoints import record as checkpoint_record

pytestmark = pytest.mark.slow
_NUM_STEPS = 300
_FIELDS = {
  "data__num_colors": 2,
  "stages": "data,tokenizer,transformer",
  "train_transformer__num_steps": _NUM_STEPS,
  "train_transformer__validate_every_steps": _NUM_STEPS,
}
_FIELD = "train_transformer.checkpoint_every_steps"
_TIMEOUT_S = 900


@pytest.fixture(scope="module")
def slurm():
  """Its environment; it ends with the tests."""
  pytest.importorskip("submitit", reason="pip install submitit")
  why_not = slurm_cluster.why_not()
  if why_not:
    pytest.skip(why_not)
  # A path of pytest's would be too long for a socket.
  with tempfile.TemporaryDirectory(prefix="slurm") as folder:
    with slurm_cluster.running(pathlib.Path(folder), cpus=2) as environment:
      cache = shrunk.ROOT / ".cache" / "xla"
      yield (
        shrunk.make_environment()
        | environment
        | {
          "JAX_COMPILATION_CACHE_DIR": str(cache),
          "PYTHON": sys.executable,
        }
      )


def _call(slurm, *command):
  done = subprocess.run(
    command, env=slurm, cwd=shrunk.ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def _wait_for(condition, lives=lambda: True):
  deadline = time.monotonic() + _TIMEOUT_S
  while not condition():
    assert lives() and time.monotonic() < deadline
    time.sleep(0.1)


def _jobs(slurm):
  """Numbers of the jobs that wait or run, by name."""
  lines = _call(slurm, "squeue", "-h", "-o", "%j %i").splitlines()
  return dict(line.split() for line in lines)


def _has_steps(workdir, stage="transformer", num=5):
  path = workdir / stage / "metrics.jsonl"
  return path.exists() and path.read_bytes().count(b"\n") >= num


def _requeued(slurm, job):
  """Waits until a job is queued again, and lets it start soon.

  Not at once: its node would refuse the credential that it has just revoked.
  """
  _wait_for(
    lambda: "PENDING" in _call(slurm, "squeue", "-h", "-j", job, "-o", "%T")
  )
  _call(slurm, "scontrol", "update", f"JobId={job}", "StartTime=now+10")


def _last_record(workdir):
  folder = workdir / "transformer" / "checkpoints" / str(_NUM_STEPS)
  found = checkpoint_record.read(folder)
  return found["leaves"], found["iterator"]


def test_points_that_are_preempted_end_with_the_same_bits(slurm, tmp_path):
  output = tmp_path / "sweep"
  arguments = [a for a in shrunk.make_arguments(**_FIELDS) if _FIELD not in a]
  command = [
    *(sys.executable, "-m", "launch.sweep", "--executor=slurm", *arguments),
    # What differs does not change what is computed.
    *(f"--sweep={_FIELD}=1000,1001,1002,1003", f"--output={output}"),
    *("--slurm=cpus_per_task=1", "--slurm=time=30"),
  ]
  with (tmp_path / "log.txt").open("w") as log:
    sweep = subprocess.Popen(
      command, env=slurm, cwd=shrunk.ROOT, stdout=log, stderr=log
    )
  points = [
    output / "points" / f"{number}-checkpoint_every_steps={1000 + number}"
    for number in range(4)
  ]
  try:
    for point, stop in (
      (points[0], ("scontrol", "requeue")),
      (points[1], ("scancel", "--signal=USR2")),  # As at the end of its time.
    ):
      _wait_for(lambda p=point: _has_steps(p), lambda: sweep.poll() is None)
      job = _jobs(slurm)[f"points_{point.name}"]
      _call(slurm, *stop, job)
      _requeued(slurm, job)
    assert sweep.wait(timeout=_TIMEOUT_S) == 0
  finally:
    sweep.kill()
    sweep.wait()
    told = (tmp_path / "log.txt").read_text()
    print(told)
  assert "4 of 4 points are done." in told
  for number, point in enumerate(points):
    words = (point / "log.txt").read_text()
    stops = words.count("\ntransformer stopped at step")
    assert stops == (1 if number < 2 else 0)
    assert _last_record(point) == _last_record(points[3])
  (share,) = (output / "shared").glob("*-*")
  assert share.name.startswith("tokenizer-")


def test_a_large_run_is_queued_again_before_its_time_is_over(slurm, tmp_path):
  workdir, log = tmp_path / "run", tmp_path / "log.txt"
  fields = _FIELDS | {
    "train_transformer__checkpoint_every_steps": 1000,
    "train_tokenizer__num_steps": 3,
  }
  told = _call(
    *(slurm, "sbatch", "--parsable", f"--output={log}", "--ntasks=2"),
    *("launch/slurm.sbatch", *shrunk.make_arguments(**fields)),
    f"--workdir={workdir}",
  )
  job = told.strip()
  _wait_for(lambda: _has_steps(workdir), lambda: _jobs(slurm))
  _call(slurm, "scancel", "--signal=USR1", job)  # As Slurm does in time.
  _requeued(slurm, job)
  _wait_for(lambda: not _jobs(slurm))
  words = log.read_text()
  print(words)
  assert "to be queued again (SIGUSR1)" in words
  assert f"Job {job} is queued again." in words
  assert "2 process(es)" in words
  checkpoints = workdir / "transformer" / "checkpoints"
  assert (checkpoints / str(_NUM_STEPS)).is_dir()


def test_a_run_that_is_cancelled_is_not_queued_again(slurm, tmp_path):
  log, program = tmp_path / "log.txt", tmp_path / "python"
  program.write_text(
    "#!/bin/bash\ntrap 'echo saved; exit 130' TERM\necho begun\n"
    "while :; do sleep 0.1; done\n"
  )
  program.chmod(0o755)
  told = _call(
    *(slurm | {"PYTHON": str(program)}, "sbatch", "--parsable"),
    *(f"--output={log}", "launch/slurm.sbatch"),
  )
  _wait_for(lambda: log.exists() and "begun" in log.read_text())
  _call(slurm, "scancel", told.strip())
  _wait_for(lambda: not _jobs(slurm))
  assert "saved" in log.read_text() and "queued" not in log.read_text()
