"""sweep.json: what a sweep is, so that a second start goes on with the same."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import msgspec

from data_gen.files import json_files
from launch.points import Task
from magvit3d.errors import UserError
from magvit3d.files import atomic_file

_NAME = "sweep.json"
_SCHEMA = 1


class _Record(msgspec.Struct):
  schema: int
  tasks: list[Task]
  code: dict[str, Any] = {}


def read(output: pathlib.Path) -> list[Task] | None:
  """Returns the tasks of the sweep in a folder; None if there is none.

  Raises:
    UserError: The file cannot be read.
  """
  path = output / _NAME
  try:
    record = msgspec.convert(json_files.read(path), _Record)
    if record.schema != _SCHEMA:
      raise ValueError(f"its schema is {record.schema}, not {_SCHEMA}")
  except (FileNotFoundError, NotADirectoryError):
    return None
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}). Name another --output, or remove the "
      "file: the same sweep goes on where its points are."
    ) from error
  return record.tasks


def check(output: pathlib.Path, tasks: Sequence[Task]) -> None:
  """Writes what a sweep is, where that is not known.

  Raises:
    UserError: The folder holds another sweep.
  """
  known = read(output)
  if known is None:
    from magvit3d.checkpoints.code_version import code_version  # Imports JAX.

    content = {
      "schema": _SCHEMA,
      "code": code_version(),
      "tasks": [dataclasses.asdict(task) for task in tasks],
    }
    text = json.dumps(content, indent=2) + "\n"
    atomic_file.write_text(output / _NAME, text)
    return
  if known != list(tasks):
    raise UserError(
      f"--output={output} holds another sweep: {_difference(known, tasks)}. "
      f"Name another folder, or give the flags that {_NAME} has."
    )


def _difference(known: Sequence[Task], tasks: Sequence[Task]) -> str:
  for old, new in zip(known, tasks, strict=False):
    for field in ("name", "flags", "stages", "source"):
      there, here = getattr(old, field), getattr(new, field)
      if field == "flags" and there != here:
        there = " ".join(flag for flag in there if flag not in here) or "fewer"
        here = " ".join(flag for flag in here if flag not in old.flags)
        return f"{old.name} has {there} there and {here or 'fewer flags'} here"
      if there != here:
        return f"it has {there} where this one has {here}"
    if old.config != new.config:
      return "the file of --config has changed since"
  return f"it has {len(known)} runs and this one {len(tasks)}"
