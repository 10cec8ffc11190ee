"""Finds the checkpoint that a path means, here or in cloud storage.

A path is a file, the folder of one checkpoint, or a folder of checkpoints by
step, of which the newest is taken: `checkpoint_<step>`, as Flax names them, or
`<step>`, as this project's runs do. `scheme://` goes through fsspec, whose
plugins (gcsfs, s3fs, ...) have to be installed.
"""

import pathlib
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import fsspec
from fsspec.implementations.local import LocalFileSystem

from magvit3d.errors import UserError
from magvit3d.upstream import orbax_folder

CONVERTED_NOTE = "upstream.json"  # In the folders that the converter writes.
CONVERTED_PARAMS = "params"
_RUN_STATE = "state"  # The item of a run's checkpoint that holds parameters.
# Names of Flax, then of this project's runs.
_STEP_NAMES = (re.compile(r"checkpoint_(\d+)"), re.compile(r"(\d+)"))
_MAX_LEVELS = 4
_PLUGINS = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs"}


@contextmanager
def fetched(path: str) -> Iterator[tuple[str, pathlib.Path]]:
  """Yields where a checkpoint was found, and where it lies on this machine.

  What lies elsewhere is copied to a temporary folder, which is removed again.

  Raises:
    UserError: There is none, or it cannot be reached.
  """
  fs, root = _file_system(path)
  with _explaining(path):
    found = _find(fs, root, path)
  if isinstance(fs, LocalFileSystem):
    yield found, pathlib.Path(found)
    return
  with tempfile.TemporaryDirectory(prefix="magvit3d_upstream_") as folder:
    copy = pathlib.Path(folder) / found.rstrip("/").rsplit("/", 1)[-1]
    with _explaining(path):
      fs.get(found, str(copy), recursive=fs.isdir(found))
    yield fs.unstrip_protocol(found), copy


def step_in_name(source: str) -> int | None:
  """Returns 1234 for `.../checkpoint_1234`, and for `.../1234/state`."""
  path = pathlib.PurePosixPath(source)
  is_run = path.name == _RUN_STATE
  steps = _steps([path.parent.name if is_run else path.name])
  return max(steps, default=None)


def _steps(names: Collection[str]) -> dict[int, str]:
  """Names of checkpoints by their step."""
  for pattern in _STEP_NAMES:
    matches = filter(None, map(pattern.fullmatch, names))
    if steps := {int(match[1]): match[0] for match in matches}:
      return steps
  return {}


def _file_system(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
  scheme = path.partition("://")[0] if "://" in path else ""
  try:
    return fsspec.core.url_to_fs(path)
  except ImportError as error:
    plugin = _PLUGINS.get(scheme)
    advice = f"pip install {plugin}" if plugin else str(error)
    raise UserError(
      f"{path} needs a plugin of fsspec that is not installed: {advice}."
    ) from error
  except Exception as error:  # Plugins differ in what they raise.
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    raise UserError(
      f"{path} cannot be opened: {reason.rstrip('.')}. Use a local path, "
      "gs://, s3:// or another scheme of fsspec."
    ) from error


@contextmanager
def _explaining(path: str) -> Iterator[None]:
  """Turns whatever a file system raises into a UserError."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    reason = f"{type(error).__name__}: {str(error).strip()[:300]}"
    raise UserError(f"{path} cannot be read: {reason}.") from error


def _find(fs: fsspec.AbstractFileSystem, root: str, path: str) -> str:
  """Goes from a folder down to the one checkpoint it means."""
  here = root
  for _ in range(_MAX_LEVELS):
    if fs.isfile(here):
      return here
    if not fs.isdir(here):
      raise UserError(
        f"{path} does not exist. Name a checkpoint_<step> file or folder, or "
        "the folder that holds it."
      )
    entries = fs.ls(here, detail=False)
    names = {entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries}
    if orbax_folder.MARKERS & names:
      return here
    steps = _steps(names)
    if CONVERTED_NOTE in names:
      name = CONVERTED_PARAMS
    elif _RUN_STATE in names:
      name = _RUN_STATE
    elif steps:
      name = steps[max(steps)]
    else:
      break
    here = f"{here.rstrip('/')}/{name}"
  held = ", ".join(sorted(names)[:5]) or "nothing"
  raise UserError(
    f"{path} holds no checkpoint: there is {held}. Name a checkpoint_<step> "
    "file, its folder, an Orbax folder, or RUN/tokenizer/checkpoints."
  )
