"""Files of a split by class: `data_dir/SPLIT/CLASS/FILE`, or without CLASS.

Labels are the places of the classes in alphabetical order, taken over all
splits, so that a class has the same label in each.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Collection, Iterable

from data_gen.errors import DataError
from data_gen.files import user_paths
from data_gen.files.folder_contents import printable_name, visible_children

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class LabelledFiles:
  """Files in alphabetical order.

  Attributes:
    paths: The files.
    labels: The class of each, 0 if there are no classes.
    class_names: Names by label; empty if there are no classes.
    fingerprint: SHA-256 of the files' names and sizes, in hexadecimal.
  """

  paths: tuple[pathlib.Path, ...]
  labels: tuple[int, ...]
  class_names: tuple[str, ...]
  fingerprint: str


def find_files(
  data_dir: str | os.PathLike, split: str, suffixes: Collection[str]
) -> LabelledFiles:
  """Returns the files of a split; others and hidden ones are passed over.

  Args:
    data_dir: Folder with a folder for each split.
    split: One of SPLITS.
    suffixes: Of the files to find, in lower case.

  Raises:
    DataError: A folder is missing, has no such files, or has them at the wrong
      depth.
  """
  root = user_paths.read(data_dir)
  folder = root / split
  if not folder.is_dir():
    there = [name for name in SPLITS if (root / name).is_dir()]
    raise DataError(
      f"{folder} is no folder; of {'/, '.join(SPLITS)}/ there are "
      f"{there or 'none'} in dataset_configs.data_dir={root}."
    )
  classes = sorted(
    {
      child.name
      for name in SPLITS
      if (root / name).is_dir()
      for child in visible_children(root / name)
      if child.is_dir()
    }
  )
  paths, labels = [], []
  if not classes:
    paths = [path for path in visible_children(folder) if _has(path, suffixes)]
    labels = [0] * len(paths)
  else:
    _refuse([path for path in visible_children(folder) if _has(path, suffixes)])
  for label, name in enumerate(classes):
    if not (folder / name).is_dir():
      continue
    children = visible_children(folder / name)
    _refuse([child for child in children if child.is_dir()])
    paths += [child for child in children if _has(child, suffixes)]
    labels += [label] * (len(paths) - len(labels))
  if not paths:
    raise DataError(
      f"{folder} has no files named *{', *'.join(sorted(suffixes))}, neither "
      "in it nor in folders of classes."
    )
  names = [path.relative_to(folder).as_posix() for path in paths]
  sizes = [path.stat().st_size for path in paths]
  return LabelledFiles(
    tuple(paths),
    tuple(labels),
    tuple(printable_name(pathlib.Path(name)) for name in classes),
    fingerprint(names, sizes),
  )


def fingerprint(names: Iterable[str], sizes: Iterable[int]) -> str:
  """Returns the SHA-256 of files' names and sizes, in hexadecimal."""
  lines = (f"{size} {name}\n" for name, size in zip(names, sizes, strict=True))
  # Names may have bytes that are no UTF-8.
  text = "".join(lines).encode("utf-8", "surrogateescape")
  return hashlib.sha256(text).hexdigest()


def _has(path: pathlib.Path, suffixes: Collection[str]) -> bool:
  return path.suffix.lower() in suffixes and path.is_file()


def _refuse(paths: list[pathlib.Path]) -> None:
  if paths:
    raise DataError(
      f"{paths[0]} is at the wrong depth: put every file in the folder of its "
      "class (data_dir/SPLIT/CLASS/FILE), or none (data_dir/SPLIT/FILE)."
    )
