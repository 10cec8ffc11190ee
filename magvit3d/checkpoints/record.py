"""What a checkpoint says of itself, beside its arrays.

Conventions: a record is one JSON file, `{"schema", "crc32c", "content"}`. The
CRC32C is of schema and content, written with sorted keys and no spaces; this
stays so in every schema, so that damage is told from another version.

  content = {
    "step", "time",          when: steps, local time as ISO 8601
    "code",                  of `code_version`
    "identity",              what a run must agree with to restore it
    "given",                 of the caller: config, hash of the data's manifest
    "metrics",               of the validation at this step, if there was one
    "iterator",              place in the data
    "leaves": {path: {"shape", "dtype", "checksum"}},
  }
"""

import datetime
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, SupportsFloat, TypedDict

import crc32c
import grain
import msgspec
from jaxtyping import PyTree

from data_gen.files import json_files
from magvit3d.checkpoints.checksums import checksums, leaves_by_path
from magvit3d.checkpoints.code_version import code_version
from magvit3d.errors import UserError

ITEM = "record"  # Its folder in a checkpoint.
SCHEMA = 1
_FILE_NAME = "metadata"  # As Orbax calls a JSON item's file.
_OLD_ITEM = "identity"  # Before there were schemas.
_Length = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _Leaf(TypedDict):
  """An array of the state."""

  shape: Annotated[list[_Length], msgspec.Meta(max_length=32)]
  dtype: str
  checksum: Any


class _Content(TypedDict):
  """What a reader of records relies on."""

  step: _Length
  identity: dict[str, Any]
  given: dict[str, Any]
  leaves: dict[str, _Leaf]


class DamageError(Exception):
  """A checkpoint is not as it was written; the message says what is wrong."""


def make(
  step: int,
  state: PyTree,
  iterator: grain.DatasetIterator,
  *,
  identity: Mapping[str, Any],
  given: Mapping[str, Any],
  metrics: Mapping[str, SupportsFloat],
) -> dict[str, Any]:
  """Returns the content of a record, as it comes back from JSON.

  All processes call it: the checksums are computed by all of them.
  """
  sums = checksums(state)
  content = {
    "step": step,
    "time": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
    "code": code_version(),
    "identity": identity,
    "given": given,
    "metrics": {k: float(v) for k, v in metrics.items() if math.isfinite(v)},
    "iterator": iterator.get_state(),
    "leaves": {
      path: {
        "shape": list(leaf.shape),
        "dtype": leaf.dtype.name,
        "checksum": sums[path],
      }
      for path, leaf in leaves_by_path(state).items()
    },
  }
  return json.loads(json.dumps(content))


def seal(content: Mapping[str, Any], schema: int = SCHEMA) -> dict[str, Any]:
  """Returns what is written."""
  return {
    "schema": schema,
    "crc32c": _crc(schema, content),
    "content": dict(content),
  }


def newest(checkpoints: pathlib.Path) -> pathlib.Path | None:
  """Returns the newest of a folder of complete checkpoints, if there is one."""
  if not checkpoints.is_dir():
    return None
  # Orbax gives a checkpoint its number once it is complete.
  steps = [path for path in checkpoints.iterdir() if path.name.isdecimal()]
  return max(steps, key=lambda path: int(path.name), default=None)


def path_in(folder: pathlib.Path) -> pathlib.Path:
  """Returns where the record of a checkpoint is."""
  return folder / ITEM / _FILE_NAME


def read(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the content of a checkpoint's record.

  Args:
    folder: Of the checkpoint.

  Raises:
    DamageError: It is missing or not as it was written.
    UserError: It cannot be read, or is of another schema.
  """
  path = path_in(folder)
  try:
    sealed = json_files.read(path)
    schema, content = sealed["schema"], sealed["content"]
    is_sound = sealed["crc32c"] == _crc(schema, content)
    if is_sound and schema == SCHEMA:
      msgspec.convert(content, _Content)
  except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
    if (folder / _OLD_ITEM).exists():
      raise _schema_error(folder, 0, "an early magvit3d") from error
    raise DamageError(f"{path} is missing") from error
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}). Make it readable, then run "
      "the same command again."
    ) from error
  except (ValueError, KeyError) as error:
    raise DamageError(f"{path} is no record ({error})") from error
  if not is_sound:
    raise DamageError(f"{path} has another CRC32C than it says")
  if schema != SCHEMA:
    code = content.get("code") if isinstance(content, dict) else None
    code = code if isinstance(code, dict) else {}
    commit = str(code.get("commit") or "")
    writer = f"magvit3d {code.get('magvit3d')}"
    raise _schema_error(
      folder, schema, writer + (f" (commit {commit[:12]})" if commit else "")
    )
  return content


def _crc(schema: Any, content: Any) -> str:
  sealed = {"schema": schema, "content": content}
  text = json.dumps(sealed, sort_keys=True, separators=(",", ":"))
  return f"{crc32c.crc32c(text.encode()):08x}"


def _schema_error(folder: pathlib.Path, schema: Any, writer: str) -> UserError:
  here = code_version()["magvit3d"]
  return UserError(
    f"The checkpoint {folder} was written by {writer} in schema {schema}, and "
    f"this is magvit3d {here}, which reads schema {SCHEMA}. Use the version "
    "that wrote it, or another --workdir."
  )
