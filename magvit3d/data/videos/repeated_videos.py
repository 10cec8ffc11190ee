"""The same video in two splits: what is tested would have been trained on."""

import hashlib
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence

from data_gen.files import user_paths
from data_gen.files.folder_contents import visible_children
from data_gen.records import shards
from magvit3d.data.videos.labelled_files import SPLITS

_END_BYTES = 1 << 16


def find_repeated(
  data_dir: str | os.PathLike,
  split: str,
  paths: Sequence[pathlib.Path],
  suffixes: Collection[str],
) -> list[tuple[pathlib.Path, pathlib.Path]]:
  """Returns videos of a split that are also in another, and where.

  Files are read only where one of another split has as many bytes.

  Args:
    data_dir: Folder with a folder for each split.
    split: One of SPLITS.
    paths: Of the split's videos.
    suffixes: Of videos, in lower case.
  """
  root = user_paths.read(data_dir)
  others = [
    path
    for name in SPLITS
    if name != split and (root / name).is_dir()
    for path in _files(root / name, suffixes)
  ]
  # Ever fewer are alike, at ever more work: bytes, ends, contents.
  mine = list(paths)
  for key in (lambda path: path.stat().st_size, _hash_ends, shards.sha256):
    my_keys = {path: key(path) for path in mine}
    other_keys = {path: key(path) for path in others}
    alike = set(my_keys.values()) & set(other_keys.values())
    mine = [path for path in mine if my_keys[path] in alike]
    others = [path for path in others if other_keys[path] in alike]
    if not alike:
      return []
  place = {other_keys[path]: path for path in reversed(others)}
  return [(path, place[my_keys[path]]) for path in mine]


def _hash_ends(path: pathlib.Path) -> tuple[int, str]:
  """Returns a file's size and the SHA-256 of its first and last bytes."""
  size = path.stat().st_size
  with open(path, "rb") as file:
    data = file.read(_END_BYTES)
    file.seek(max(size - _END_BYTES, 0))
    data += file.read(_END_BYTES)
  return size, hashlib.sha256(data).hexdigest()


def _files(
  folder: pathlib.Path, suffixes: Collection[str]
) -> Iterator[pathlib.Path]:
  """Yields the videos of a split, with and without classes."""
  for child in visible_children(folder):
    for path in visible_children(child) if child.is_dir() else [child]:
      if path.suffix.lower() in suffixes and path.is_file():
        yield path
