"""Reading metrics.jsonl: an object a line, with a "step" and scalars."""

import pathlib
from typing import Annotated

import msgspec

from data_gen.files import json_files, plain_files

_MOST_BYTES = 2**29
# What a line must hold; its other fields are scalars.
_STEP = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


def read_metrics(path: pathlib.Path) -> list[dict]:
  """Returns the records of `path` in the order of their steps.

  A resumed run may have logged a step twice: the last record holds. Lines
  that are no record are left out, because a process may be killed while it
  writes one. A file that cannot be read has no records.
  """
  try:
    lines = plain_files.read_bytes(path, _MOST_BYTES).splitlines()
  except OSError:
    return []
  records = {}
  for line in lines:
    try:
      record = json_files.parse(line)
      step = msgspec.convert(record.get("step"), _STEP)
    except ValueError:
      continue
    # One step may come as two records, train/* and validation/*.
    records.setdefault(step, {}).update(record)
  return [records[step] for step in sorted(records)]
