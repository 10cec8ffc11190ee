"""What a data set's manifest says, as a run's passport tells it."""

import contextlib
import hashlib
import pathlib
from typing import Any

from data_gen import schema
from data_gen.files import json_files, plain_files
from data_gen.scenes.options import DatasetOptions

_MOST_BYTES = 64 * plain_files.MIB
_SAID_ELSEWHERE = ("preset", "seed")  # As are the scenes of each split.


def describe(folder: pathlib.Path) -> dict[str, Any]:
  """Returns what identifies a data set; empty where there is no manifest.

  Args:
    folder: Of the data set.

  Returns:
    `manifest` (its path), `sha256` of its bytes, `dataset`, `seed`,
    `code_version` that made it, `scenes` by split, and `arguments` that differ
    from the defaults of `python -m data_gen` (footage: all of them).
  """
  path = folder / schema.MANIFEST_NAME
  try:
    data = plain_files.read_bytes(path, _MOST_BYTES)
    content = json_files.parse(data)
  except (OSError, json_files.JsonError):
    return {}
  splits = _dict(content.get("splits"))
  return {
    "manifest": str(path),
    "sha256": hashlib.sha256(data).hexdigest(),
    "dataset": content.get("dataset"),
    "seed": content.get("seed"),
    "code_version": content.get("code_version"),
    "scenes": {
      name: _dict(split).get("num_scenes") for name, split in splits.items()
    },
    "arguments": _changed(_dict(content.get("arguments"))),
  }


def _changed(arguments: dict[str, Any]) -> dict[str, Any]:
  defaults = {}
  if "calibration" not in arguments:  # Of footage, with flags of its own.
    with contextlib.suppress(ValueError):  # A preset of another version.
      preset = arguments.get("preset", DatasetOptions.preset)
      defaults = DatasetOptions(preset=preset).arguments()
  scenes = [f"num_{split}" for split in schema.SPLITS]
  return {
    name: f"{len(value)} files" if name == "files" else value
    for name, value in arguments.items()
    if name not in (*_SAID_ELSEWHERE, *scenes)
    and not (name in defaults and value == defaults[name])
  }


def _dict(value: object) -> dict[str, Any]:
  return value if isinstance(value, dict) else {}
