"""Confusion matrices as HTML tables with shaded cells."""

import html
from typing import Any, TypedDict

import numpy as np

from data_gen.files import json_files
from magvit3d.report import page_texts

_MAX_LEVEL_HEADS = 5  # With more classes the heads of columns stand upright.


class _Confusion(TypedDict, total=False):
  """Of what is shown; what it lacks is left out."""

  names: list[Any] | None


def tables(confusions: object) -> str:
  """Returns the matrices of `evaluation/scores.json`, or what is wrong.

  Args:
    confusions: A list of {title, note, split, n, names, counts}; rows of
      counts are true classes, columns the answers.
  """
  found = json_files.fitting(confusions, _Confusion)
  if not found:
    return page_texts.say_missing(
      "evaluation/scores.json has no confusions: nothing was classified, or "
      "an older version of the evaluate stage wrote it."
    )
  return f'<div class="confusions">{"".join(map(_table, found))}</div>'


def _table(confusion):
  title = str(confusion.get("title"))
  names = [str(name) for name in confusion.get("names") or ()]
  counts = _counts(confusion.get("counts"), len(names))
  if counts is None:
    return page_texts.say_missing(
      f"{title}: the counts are no table of {len(names)} x {len(names)} whole "
      "numbers."
    )
  total, hits = int(counts.sum()), int(np.trace(counts))
  facts = [
    f"{confusion.get('split', 'unknown')} split, "
    f"n = {page_texts.value_text(confusion.get('n', total))}",
    f"accuracy {hits / total:.1%}" if total else "accuracy unknown",
  ]
  note = confusion.get("note")
  note = f". {html.escape(str(note))}" if note else ""
  is_upright = len(names) > _MAX_LEVEL_HEADS
  heads = "".join(
    f"<th><span>{html.escape(name.replace('_', ' '))}</span></th>"
    for name in names
  )
  rows = "".join(
    f'<tr><th scope="row">{html.escape(name.replace("_", " "))}</th>'
    f"{_cells(row, number)}<td>{int(row.sum()):,}</td></tr>"
    for number, (name, row) in enumerate(zip(names, counts, strict=True))
  )
  return (
    f'<div><p class="caption"><b>{html.escape(title)}</b> '
    f"({html.escape('; '.join(facts))}){note}</p>"
    f'<div class="scroll"><table class="confusion'
    f'{" upright" if is_upright else ""}"><thead><tr>'
    f"<th>true ↓ answered →</th>{heads}<th>all</th></tr></thead>"
    f"<tbody>{rows}</tbody></table></div></div>"
  )


def _cells(row, true_class):
  total = int(row.sum())
  cells = []
  for answer, count in enumerate(row):
    share = count / total if total else 0.0
    kinds = ["hit"] if answer == true_class else []
    kinds += [] if count else ["none"]
    percent = f"<small>{share:.0%}</small>" if count else ""
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    cells.append(
      f'<td{kind} style="--share:{share:.3f}">{int(count):,}{percent}</td>'
    )
  return "".join(cells)


def _counts(counts, num_classes):
  """Counts (k, k) as whole numbers; None if they are something else."""
  try:
    array = np.array(counts, float)
  except (TypeError, ValueError):
    return None
  if array.shape != (num_classes, num_classes) or not array.size:
    return None
  if not np.isfinite(array).all() or (array < 0).any():
    return None
  whole = array.astype(np.int64)
  return whole if (whole == array).all() else None
