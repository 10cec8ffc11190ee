"""Files that take the place of others together, or not at all."""

import os

import pytest

from magvit3d.files import output_set

_OLD = {"a.txt": "old", "b.txt": "old", "gone.txt": "old", "record": "old"}
_NEW = {"a.txt": "new", "b.txt": "new", "record": "new"}


def _is_ours(name):
  return name == "record" or name.endswith(".txt")


def _exchange(folder, contents):
  with output_set.exchanged(folder, "record", _is_ours) as new:
    for name, text in contents.items():
      (new / name).write_text(text)


def _read(folder):
  return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_replace_those_of_before_and_others_stay(tmp_path):
  folder = tmp_path / "evaluation"
  _exchange(folder, _OLD)
  (folder / "mine.md").write_text("mine")
  _exchange(folder, _NEW)
  assert _read(folder) == _NEW | {"mine.md": "mine"}


def test_an_error_before_leaves_the_old_ones(tmp_path):
  _exchange(tmp_path, _OLD)
  with pytest.raises(ZeroDivisionError):
    with output_set.exchanged(tmp_path, "record", _is_ours) as new:
      (new / "a.txt").write_text("new")
      raise ZeroDivisionError
  assert _read(tmp_path) == _OLD


@pytest.mark.parametrize("number", range(3))
def test_stopped_in_between_there_is_no_record(tmp_path, monkeypatch, number):
  """Or the record is of the files that are there."""
  _exchange(tmp_path, _OLD)
  replace, count = os.replace, iter(range(10))

  def stop(source, target):
    if next(count) == number:
      raise KeyboardInterrupt
    replace(source, target)

  monkeypatch.setattr(os, "replace", stop)
  with pytest.raises(KeyboardInterrupt):
    _exchange(tmp_path, _NEW)
  assert "record" not in _read(tmp_path)
  monkeypatch.undo()
  _exchange(tmp_path, _NEW)
  assert _read(tmp_path) == _NEW
