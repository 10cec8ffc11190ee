"""A run that is told to stop, or killed, is continued by the same command."""

import os
import signal
import subprocess
import sys
import time

import interruptible
import pytest
import shrunk

from data_gen.records.scene_source import SceneSource

_MANY = {"train_tokenizer__num_steps": 100_000}


def _start(workdir, **fields):
  return interruptible.start(
    [
      *(sys.executable, "-m", "magvit3d.main", f"--workdir={workdir}"),
      *shrunk.make_arguments(**fields),
    ],
    cwd=shrunk.ROOT,
    start_new_session=True,
    env=shrunk.make_environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
  )


def _stop(process, number, condition, send=os.kill):
  """Sends a signal once `condition` holds; returns stderr."""
  try:
    deadline = time.monotonic() + 200
    while not condition() and process.poll() is None:
      assert time.monotonic() < deadline
      time.sleep(0.05)
    send(process.pid, number)
    return process.communicate(timeout=100)[1]
  finally:
    process.kill()
    process.wait()


def _shards(workdir):
  return list((workdir / "data").glob("*.tfrecord-*[0-9]"))


@pytest.mark.variants
@pytest.mark.parametrize(
  ("number", "send"),
  [
    (signal.SIGTERM, os.kill),
    (signal.SIGINT, os.kill),
    (signal.SIGTERM, os.killpg),  # Which ends the workers, too.
  ],
)
def test_signal_while_rendering_ends_in_one_sentence(number, send, tmp_path):
  fields = {"data__num_train": 5000, "data__num_workers": 2, "stages": "data"}
  process = _start(tmp_path, **fields)
  error = _stop(process, number, lambda: len(_shards(tmp_path)) > 1, send)
  assert process.returncode == 130
  assert "Traceback" not in error
  assert error.splitlines()[-1].startswith("Interrupted; run the same")
  assert not (tmp_path / "data" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_training_continues_after_a_signal(number, tmp_path):
  checkpoints = tmp_path / "tokenizer" / "checkpoints"
  process = _start(tmp_path, **_MANY)
  error = _stop(process, number, lambda: (checkpoints / "4").exists())
  if number == signal.SIGTERM:
    assert process.returncode == 130
    assert "and saved it; run the same command again" in error
  assert len(SceneSource(tmp_path / "data", "train")) == 8
  # An unfinished checkpoint has more than digits in its name.
  names = [path.name for path in checkpoints.iterdir()]
  last = max(int(name) for name in names if name.isdigit()) + 2
  found = shrunk.run_main(
    *shrunk.make_arguments(
      train_tokenizer__num_steps=last, stages="data,tokenizer"
    ),
    f"--workdir={tmp_path}",
  )
  assert found.returncode == 0, found.stderr
  assert (checkpoints / str(last)).exists()
