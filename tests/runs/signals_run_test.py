"""A small run that is told to stop or to save, by each signal."""

import json
import signal
import subprocess
import sys
import time

import interruptible
import pytest
import shrunk

pytestmark = pytest.mark.skipif(
  sys.platform == "win32", reason="Windows has two of the signals"
)
_FIELDS = {
  "stages": "data,tokenizer",
  "train_tokenizer__num_steps": 100_000,
  "train_tokenizer__checkpoint_every_steps": 100_000,
  "train_tokenizer__validate_every_steps": 100_000,
}


@pytest.fixture(scope="module")
def training(tmp_path_factory):
  """A run that trains, until a test stops it."""
  workdir = tmp_path_factory.mktemp("signals") / "run"
  output = workdir.with_name("stdout.txt").open("w")
  process = interruptible.start(
    [
      *(sys.executable, "-m", "magvit3d.main", f"--workdir={workdir}"),
      *shrunk.make_arguments(**_FIELDS),
    ],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    stdout=output,
    stderr=subprocess.PIPE,
  )
  yield process, workdir
  output.close()
  process.kill()
  process.communicate()


def _wait_for(condition, process):
  deadline = time.monotonic() + 300
  while not condition():
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)


def _steps(workdir):
  path = workdir / "tokenizer" / "metrics.jsonl"
  return len(path.read_text().splitlines()) if path.exists() else 0


def _saved(workdir):
  folder = workdir / "tokenizer" / "checkpoints"
  names = [path.name for path in folder.glob("*")] if folder.exists() else []
  return sorted(int(name) for name in names if name.isdigit())


@pytest.mark.slow
def test_usr2_saves_and_the_run_goes_on_until_usr1_requeues_it(training):
  process, workdir = training
  _wait_for(lambda: _steps(workdir) > 2, process)
  assert not _saved(workdir)
  process.send_signal(signal.SIGUSR2)
  _wait_for(lambda: _saved(workdir), process)
  (first,) = _saved(workdir)
  _wait_for(lambda: _steps(workdir) > first + 2, process)
  process.send_signal(signal.SIGUSR1)
  process.send_signal(signal.SIGTERM)  # As Slurm does a little later.
  process.send_signal(signal.SIGTERM)
  _, error = process.communicate(timeout=200)
  assert process.returncode == 130
  assert "Traceback" not in error
  assert f"tokenizer saved step {first}, as SIGUSR2 asked" in error
  last = _saved(workdir)[-1]
  reason = (
    f"tokenizer stopped at step {last} and saved it, to be queued again "
    "(SIGUSR1)"
  )
  assert error.splitlines()[-1] == (
    f"{reason}; run the same command again to continue."
  )
  output = workdir.with_name("stdout.txt").read_text()
  assert "tokenizer INTERRUPTED at" in output and reason not in output
  assert f"INTERRUPTED: {reason}\n" in (workdir / "PROGRESS.txt").read_text()
  stages = json.loads((workdir / "stages.json").read_text())
  assert stages["tokenizer"]["status"] == "pending"
  assert not (workdir / ".magvit3d.lock").exists()
