"""Files of a run for its report, which may be missing or broken."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_gen.files import array_files, json_files
from magvit3d.evaluation.tables import Table
from magvit3d.report import old_scores

_MOST_BYTES = 2**29  # Of arrays to show on a page.


def load_json(path: pathlib.Path) -> tuple[dict, str]:
  """Returns the object in a file and "", or {} and why there is none."""
  place = _place(path)
  try:
    value = json_files.read(path, Any)
  except FileNotFoundError:
    return {}, f"{place} is missing."
  except (OSError, json_files.JsonError) as error:
    return {}, f"{place} cannot be read ({error})."
  if not isinstance(value, dict):
    return {}, f"{place} holds a {type(value).__name__}, not an object."
  return value, ""


def read_tables(scores: Mapping[str, Any]) -> list[Table]:
  """Returns the tables of a scores.json of any version; what is none is left.

  Args:
    scores: May hold anything.
  """
  if "schema_version" not in scores:
    return old_scores.tables(scores)
  entries = scores.get("tables")
  found = []
  for entry in entries if isinstance(entries, list) else ():
    with contextlib.suppress(ValueError):
      found.append(Table.from_json(entry))
  return found


def load_arrays(path: pathlib.Path) -> tuple[dict[str, np.ndarray], str]:
  """Returns the arrays of an .npz and "", or {} and why there are none."""
  try:
    arrays = array_files.open_npz(path)
    array_files.check_size(arrays, _MOST_BYTES)
    return {key: np.asarray(array) for key, array in arrays.items()}, ""
  except FileNotFoundError:
    return {}, f"{_place(path)} is missing."
  except (OSError, array_files.ArrayFileError) as error:
    return {}, f"{_place(path)} cannot be read ({error})."


def _place(path):
  is_evaluation = path.parent.name == "evaluation"
  return f"evaluation/{path.name}" if is_evaluation else path.name
