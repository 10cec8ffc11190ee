"""Places where tests kill a process, or fail what it writes."""

import os
import signal
import subprocess
import sys

import pytest
import shrunk

from data_gen.files import failpoints

_PROGRAM = """
import pathlib, sys
from data_gen.records import shards
for name in ("a", "b", "a"):
  try:
    shards.write_atomically(pathlib.Path(sys.argv[1], name), b"x")
    print("written")
  except OSError as error:
    print(error.strerror)
"""


def _run(folder, failpoint, log=""):
  variables = {
    failpoints.VARIABLE: failpoint,
    failpoints.LOG_VARIABLE: str(log),
  }
  return subprocess.run(
    [sys.executable, "-c", _PROGRAM, str(folder)],
    cwd=shrunk.ROOT,
    env=os.environ | variables,
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize(
  ("failpoint", "printed"),
  [
    ("", ["written", "written", "written"]),
    ("write a=ENOSPC", ["No space left on device", "written", "written"]),
    ("replace a=EIO@2", ["written", "written", "Input/output error"]),
    ("*=EROFS@3+", ["written", *["Read-only file system"] * 2]),
  ],
)
def test_an_error_comes_where_and_when_it_was_asked_for(
  tmp_path, failpoint, printed
):
  done = _run(tmp_path, failpoint)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == printed


def test_a_kill_leaves_what_it_was_at(tmp_path):
  done = _run(tmp_path, "replace b=kill")
  assert done.returncode == -signal.SIGKILL
  (left,) = {path.name for path in tmp_path.iterdir()} - {"a"}
  assert left.startswith("b.") and left.endswith(".tmp")


def test_what_is_passed_is_noted(tmp_path):
  folder = tmp_path / "data"
  folder.mkdir()
  _run(folder, "", tmp_path / "log")
  lines = (tmp_path / "log").read_text().splitlines()
  assert lines[:4] == ["write a", "replace a", "write b", "replace b"]
