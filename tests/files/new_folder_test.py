"""Folders that are there with all files, or not at all."""

import errno

import pytest

from magvit3d.errors import UserError
from magvit3d.files import new_folder


def test_a_folder_appears_when_it_is_whole(tmp_path):
  output = tmp_path / "some" / "out"
  with new_folder.written_whole(output) as folder:
    (folder / "a").write_text("a")
    assert not output.exists()
  assert [path.name for path in output.parent.iterdir()] == ["out"]
  assert (output / "a").read_text() == "a"


def test_an_empty_folder_is_taken(tmp_path):
  with new_folder.written_whole(tmp_path) as folder:
    (folder / "a").write_text("a")
  assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
  ("error", "expected"),
  [
    (OSError(errno.ENOSPC, "No space left on device"), UserError),
    (KeyboardInterrupt(), KeyboardInterrupt),
  ],
)
def test_nothing_is_left_of_what_failed(tmp_path, error, expected):
  with (
    pytest.raises(expected),
    new_folder.written_whole(tmp_path / "out") as folder,
  ):
    (folder / "a").write_text("a")
    raise error
  assert not list(tmp_path.iterdir())


def test_what_is_there_stays(tmp_path):
  (tmp_path / "a").write_text("mine")
  with (
    pytest.raises(UserError, match="exists already"),
    new_folder.written_whole(tmp_path) as folder,
  ):
    (folder / "a").write_text("other")
  assert (tmp_path / "a").read_text() == "mine"
