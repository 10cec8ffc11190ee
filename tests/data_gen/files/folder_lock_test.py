"""The lock of a folder, where the kernel does not say who lives."""

import dataclasses
import errno
import json
import os
import threading
import time

import pytest

from data_gen.files import folder_lock
from data_gen.files.folder_lock import InUseError, Owner

fcntl = pytest.importorskip("fcntl")
_ELSEWHERE = Owner("node7", 4711, "another boot", "2026-01-02 03:04:05+00:00")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(folder_lock, "HEARTBEAT_S", 0.05)
  monkeypatch.setattr(folder_lock, "SILENCE_S", 1.0)
  monkeypatch.setattr(folder_lock, "_POLL_S", 0.02)


@pytest.fixture
def path(tmp_path):
  return tmp_path / "lock"


def _leave(path, owner=_ELSEWHERE):
  path.write_text(json.dumps(dataclasses.asdict(owner)))


def _without_kernel(monkeypatch, code=errno.ENOLCK):
  def flock(descriptor, mode):
    raise OSError(code, os.strerror(code))

  monkeypatch.setattr(fcntl, "flock", flock)


def test_the_file_names_this_process(path):
  with folder_lock.held(path):
    owner = Owner.read(path.read_text())
    assert owner.process == os.getpid() and owner.host in str(owner)
  assert not path.exists()


def test_a_dead_owner_on_another_machine_is_waited_for_and_replaced(path):
  _leave(path)
  lines = []
  with folder_lock.held(path, lines.append):
    assert Owner.read(path.read_text()).process == os.getpid()
  (line,) = lines
  assert "process 4711 on node7" in line and "Waiting for 1 s" in line


def _beat_on(path, stopped):
  while not stopped.wait(0.05):
    os.utime(path)


def test_a_living_owner_on_another_machine_is_known_by_its_heartbeat(path):
  """Where a lock does not reach from machine to machine."""
  _leave(path)
  stopped = threading.Event()
  thread = threading.Thread(target=_beat_on, args=(path, stopped))
  thread.start()
  try:
    with pytest.raises(InUseError) as caught, folder_lock.held(path):
      pass
  finally:
    stopped.set()
    thread.join()
  assert caught.value.owner == _ELSEWHERE
  assert Owner.read(path.read_text()) == _ELSEWHERE


def test_an_owner_touches_its_file(path):
  with folder_lock.held(path):
    os.utime(path, (0, 0))
    end = time.monotonic() + 30
    while path.stat().st_mtime < 1:
      assert time.monotonic() < end
      time.sleep(0.02)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_of_the_kernel_the_heartbeat_decides(
  path, monkeypatch, code
):
  _without_kernel(monkeypatch, code)
  with folder_lock.held(path):
    with pytest.raises(InUseError), folder_lock.held(path):
      pass
  _leave(path, Owner.here())  # As one that was killed.
  with folder_lock.held(path):
    pass


def test_other_errors_of_the_kernel_are_passed_on(path, monkeypatch):
  _without_kernel(monkeypatch, errno.EIO)
  with pytest.raises(OSError, match="Input/output"):
    with folder_lock.held(path):
      pass


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"host": 1}', "null"])
def test_half_a_file_is_no_owner(path, text):
  path.write_text(text)
  assert Owner.read(text) is None
  with folder_lock.held(path):
    pass


def test_a_lock_that_was_removed_meanwhile_is_not_held(path, monkeypatch):
  """Its owner removes the file between our opening and locking it."""
  flock, calls = fcntl.flock, []

  def remove_first(descriptor, mode):
    calls.append(descriptor)
    if len(calls) == 1:
      path.unlink()
    flock(descriptor, mode)

  monkeypatch.setattr(fcntl, "flock", remove_first)
  with folder_lock.held(path):
    assert len(calls) == 2 and path.exists()


def test_the_lock_of_a_new_folder_at_the_old_place_stays(tmp_path):
  folder = tmp_path / "a"
  folder.mkdir()
  with folder_lock.held(folder / "lock"):
    folder.rename(tmp_path / "b")
    folder.mkdir()
    (folder / "lock").write_text("of another")
  assert (folder / "lock").read_text() == "of another"


def test_a_data_set_says_who_writes_it(tmp_path):
  with folder_lock.locked(tmp_path):
    with pytest.raises(BlockingIOError) as caught:
      with folder_lock.locked(tmp_path):
        pass
  assert f"--output_dir={tmp_path}: wait" in str(caught.value)
  assert f"It is process {os.getpid()} on " in str(caught.value)
