"""Tests of files that are complete or not there."""

import errno
import os
import pathlib
import resource

import pytest

from magvit3d.errors import UserError
from magvit3d.files import atomic_file


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
  tmp_path, monkeypatch
):
  path = tmp_path / "folder" / "file.txt"
  atomic_file.write_text(path, "old")

  def fail(source, target):
    assert source.read_text() == "new" and target == path
    raise OSError("killed")

  monkeypatch.setattr("os.replace", fail)
  with pytest.raises(OSError, match="killed"):
    atomic_file.write_text(path, "new")
  assert path.read_text() == "old"
  assert list(path.parent.iterdir()) == [path]


def test_names_that_are_no_utf_8_are_escaped(tmp_path):
  path = tmp_path / "a.txt"
  atomic_file.write_text(path, f"of {os.fsdecode(b'caf' + bytes([233]))}, é")
  assert path.read_text("utf-8") == "of caf\\udce9, é"


@pytest.mark.parametrize(
  ("number", "advice"),
  [
    (errno.ENOSPC, "No space left on device). Free some space"),
    (errno.EFBIG, "File too large). Allow larger files"),
    (errno.EROFS, "Read-only file system). Make its folder one"),
    (errno.EIO, "Input/output error). Look what is wrong there"),
  ],
)
def test_what_cannot_be_written_is_named_with_what_to_do(
  tmp_path, monkeypatch, number, advice
):
  def fail(path, content):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
  path = tmp_path / "a.txt"
  with pytest.raises(UserError) as caught:
    atomic_file.write_text(path, "a")
  assert str(caught.value).startswith(f"{path} cannot be written ({advice}")
  assert isinstance(caught.value, OSError) and caught.value.errno == number


def test_a_folder_in_place_of_a_file_is_set_aside(tmp_path, caplog):
  path = tmp_path / "a.txt"
  for _ in range(2):
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "mine").write_text("mine")
    atomic_file.write_text(path, "new")
    assert path.read_text() == "new"
  assert (tmp_path / "a.txt.damaged" / "mine").read_text() == "mine"
  assert (tmp_path / "a.txt.damaged.1" / "mine").exists()
  assert "is damaged (it is a folder) and was moved to" in caplog.text


def test_what_is_appended_is_all_there_or_not_at_all(tmp_path):
  """A limit of size cuts within a line."""
  path = tmp_path / "a.jsonl"
  atomic_file.append(path, b"first\n")
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (9, limits[1]))
  try:
    with pytest.raises(UserError, match="File too large"):
      atomic_file.append(path, b"second\n")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert path.read_bytes() == b"first\n"
  atomic_file.append(path, b"second\n")
  assert path.read_bytes() == b"first\nsecond\n"
