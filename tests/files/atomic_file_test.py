"""Tests of files that are complete or not there."""

import os

import pytest

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
