"""Files are found by split and class, and misplaced ones are named."""

import shutil

import pytest

from data_gen.errors import DataError
from magvit3d.data.videos.labelled_files import find_files


def _write(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * len(name))


def _find(root, split="train"):
  files = find_files(root, split, (".mp4", ".avi"))
  names = [path.relative_to(root).as_posix() for path in files.paths]
  return list(zip(names, files.labels, strict=True)), files


def test_folders_are_classes_in_alphabetical_order(tmp_path):
  _write(tmp_path, "train/roll/b.mp4", "train/fall/c.avi", "train/roll/a.MP4")
  _write(tmp_path, "train/roll/notes.txt", "train/.cache/x.mp4")
  _write(tmp_path, "train/fall/.hidden.mp4")
  found, files = _find(tmp_path)
  assert files.class_names == ("fall", "roll")
  assert found == [
    ("train/fall/c.avi", 0),
    ("train/roll/a.MP4", 1),
    ("train/roll/b.mp4", 1),
  ]


def test_class_has_the_same_label_in_a_split_that_lacks_others(tmp_path):
  _write(tmp_path, "train/fall/a.mp4", "train/roll/a.mp4", "test/roll/b.mp4")
  found, files = _find(tmp_path, "test")
  assert found == [("test/roll/b.mp4", 1)]
  assert files.class_names == ("fall", "roll")


def test_files_without_folders_have_no_classes(tmp_path):
  _write(tmp_path, "train/b.mp4", "train/a.mp4")
  found, files = _find(tmp_path)
  assert found == [("train/a.mp4", 0), ("train/b.mp4", 0)]
  assert files.class_names == ()


def test_fingerprint_depends_on_names_and_sizes_but_not_on_the_place(tmp_path):
  _write(tmp_path / "one", "train/a.mp4", "train/b.mp4")
  shutil.copytree(tmp_path / "one", tmp_path / "two")
  first = _find(tmp_path / "one")[1].fingerprint
  assert _find(tmp_path / "two")[1].fingerprint == first
  (tmp_path / "two/train/b.mp4").write_bytes(b"longer than before")
  changed = _find(tmp_path / "two")[1].fingerprint
  (tmp_path / "one/train/b.mp4").rename(tmp_path / "one/train/c.mp4")
  renamed = _find(tmp_path / "one")[1].fingerprint
  assert len({first, changed, renamed}) == 3


@pytest.mark.parametrize(
  ("names", "message"),
  [
    (["test/a.mp4"], r"train is no folder.*\['test'\]"),
    (["train/a.txt"], r"train has no files named \*\.avi, \*\.mp4"),
    (["train/a.mp4", "train/roll/b.mp4"], r"a\.mp4 is at the wrong depth"),
    (["train/a.mp4", "test/roll/b.mp4"], r"a\.mp4 is at the wrong depth"),
    (["train/roll/x/b.mp4"], "x is at the wrong depth"),
  ],
)
def test_wrong_layout_is_named(tmp_path, names, message):
  _write(tmp_path, *names)
  with pytest.raises(DataError, match=message):
    _find(tmp_path)
