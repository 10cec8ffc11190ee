"""What is killed or interrupted leaves nothing half-written, and continues."""

import contextlib
import os
import pathlib
import signal
import time

import pytest
from small_data_sets import hash_files, make_options, start

from data_gen.generate import generate

NEEDS_PROC = pytest.mark.skipif(
  not pathlib.Path("/proc").is_dir(), reason="needs /proc"
)
FORMATS = ["tfrecord", "array_record", "npz"]
# Enough shards that some are missing when the first is noticed.
NUM_TRAIN = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Folders by file format, made by one process without interruption."""
  folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
  for name, folder in folders.items():
    options = make_options(folder, num_train=NUM_TRAIN, file_format=name)
    generate(options, log=lambda line: None)
  return folders


def _wait_for(condition, process=None):
  deadline = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < deadline
    assert process is None or process.poll() is None, process.stderr.read()
    time.sleep(0.002)


def _has_shard(folder):
  return lambda: any(
    path.suffix not in (".tmp", ".index") for path in folder.glob("*-train*")
  )


def _children(process):
  path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
  return [int(number) for number in path.read_text().split()]


def _is_running(number):
  try:
    status = pathlib.Path(f"/proc/{number}/stat").read_text()
  except FileNotFoundError:
    return False
  return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.variants
@pytest.mark.parametrize(
  ("num_workers", "file_format"),
  [
    (1, "tfrecord"),
    (2, "tfrecord"),
    (4, "tfrecord"),
    (2, "array_record"),
    (1, "npz"),
  ],
)
def test_killed_run_continues_to_the_same_bytes(
  made, tmp_path, num_workers, file_format
):
  options = make_options(
    tmp_path,
    num_train=NUM_TRAIN,
    num_workers=num_workers,
    file_format=file_format,
  )
  process = start(options, start_new_session=True)
  _wait_for(_has_shard(tmp_path), process)
  os.killpg(process.pid, signal.SIGKILL)
  process.communicate()
  assert not (tmp_path / "manifest.json").exists()
  leftover = f"{options.shard_name('train', 4)}.{'0' * 32}.tmp"
  (tmp_path / leftover).write_text("junk")
  generate(options, log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(made[file_format])


@NEEDS_PROC
def test_workers_end_when_their_parent_is_killed(made, tmp_path):
  options = make_options(tmp_path, num_train=5000, num_workers=2)
  process = start(options, start_new_session=True)
  try:
    _wait_for(_has_shard(tmp_path), process)
    workers = _children(process)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _wait_for(lambda: not any(map(_is_running, workers)))
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.variants
@pytest.mark.parametrize(
  ("num_workers", "whom"), [(1, "parent"), (2, "parent"), (2, "all")]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_says_so_and_continues(
  made, tmp_path, number, num_workers, whom
):
  options = make_options(tmp_path, num_train=NUM_TRAIN, num_workers=num_workers)
  process = start(options, start_new_session=True)
  _wait_for(_has_shard(tmp_path), process)
  if whom == "all":
    os.killpg(process.pid, number)
  else:
    os.kill(process.pid, number)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 130, errors
  assert "Traceback" not in errors
  assert "interrupted" in errors and "the same command continues" in errors
  assert not list(tmp_path.glob("*.tmp"))
  assert not (tmp_path / "manifest.json").exists()
  generate(options, log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(made["tfrecord"])


def test_interruption_does_not_wait_for_the_end_of_a_shard(tmp_path):
  """These shards take minutes."""
  options = make_options(
    tmp_path, num_train=200_000, scenes_per_shard=100_000, num_workers=2
  )
  process = start(options, start_new_session=True)
  try:
    _wait_for(lambda: len(list(tmp_path.glob("*-train*.tmp"))) == 2, process)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list(tmp_path.glob("*.tmp"))
  finally:
    if process.poll() is None:
      os.killpg(process.pid, signal.SIGKILL)
      process.communicate()


@pytest.mark.slow
@NEEDS_PROC
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interruption_while_workers_start_is_one_sentence(tmp_path, number):
  options = make_options(tmp_path, num_train=5000, num_workers=2)
  process = start(options, start_new_session=True)
  # The first is multiprocessing's own.
  _wait_for(lambda: len(_children(process)) > 1, process)
  os.killpg(process.pid, number)
  _, errors = process.communicate(timeout=20)
  # Python ends by the signal itself if this comes while it runs an import.
  assert process.returncode in (130, -signal.SIGINT), errors
  assert len(errors.splitlines()) == 1, errors
