"""Reading metrics.jsonl: an object a line, with a "step" and scalars."""

import json
import pathlib


def read_metrics(path: pathlib.Path) -> list[dict]:
  """Returns the records of `path` in the order of their steps.

  A resumed run may have logged a step twice: the last record holds. Lines
  that are no record are left out, because a process may be killed while it
  writes one. A file that does not exist has no records.
  """
  try:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
  except FileNotFoundError:
    return []
  records = {}
  for line in lines:
    try:
      record = json.loads(line)
    except json.JSONDecodeError:
      continue
    if isinstance(record, dict) and isinstance(record.get("step"), int):
      # One step may come as two records, train/* and validation/*.
      records.setdefault(record["step"], {}).update(record)
  return [records[step] for step in sorted(records)]
