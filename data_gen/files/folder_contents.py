"""What lies in a folder, without what operating systems leave there."""

import os
import pathlib
from collections.abc import Iterator

from data_gen.errors import DataError

# Of Macs (in unpacked archives), of Windows, of Synology's disks.
_LEFT_BY_SYSTEMS = {
  "__macosx",
  "thumbs.db",
  "ehthumbs.db",
  "desktop.ini",
  "$recycle.bin",
  "system volume information",
  "@eadir",
}


def visible_children(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns files and folders of a folder in alphabetical order.

  Left out are hidden ones, whose names begin with a dot (of Macs, `._a.png`
  beside `a.png` and `.DS_Store`), and others that no user put there.
  """
  return sorted(
    child
    for child in folder.iterdir()
    if not child.name.startswith(".")
    and child.name.lower() not in _LEFT_BY_SYSTEMS
  )


def walk(folder: pathlib.Path) -> Iterator[list[pathlib.Path]]:
  """Yields the visible children of a folder, then those of each folder in it.

  Raises:
    DataError: A folder is there twice, by links: they may run in a circle.
  """
  places: dict[tuple[int, int], pathlib.Path] = {}
  waiting = [folder]
  while waiting:
    here = waiting.pop()
    state = here.stat()
    other = places.setdefault((state.st_dev, state.st_ino), here)
    if other is not here:
      raise DataError(
        f"{here} is the same folder as {other}, by a link. Take the link away: "
        "what is in it would count twice."
      )
    children = visible_children(here)
    yield children
    waiting += [child for child in reversed(children) if child.is_dir()]


def printable_name(path: pathlib.Path) -> str:
  """Returns the name of a file; bytes of it that are no UTF-8 as `\\xff`."""
  return os.fsencode(path.name).decode("utf-8", "backslashreplace")
