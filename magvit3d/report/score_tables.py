"""The report's tables of scores: a column has one format of numbers."""

import html
from collections.abc import Mapping
from typing import Any

from magvit3d.report.page_texts import cell_html, column_decimals, say_missing

# A row with one of these in its name is a trivial baseline, where the table
# does not list its "baselines".
_BASELINE_WORDS = (
  "baseline",
  "background only",
  "copy",
  "most frequent",
  "constant velocity",
  "constant-velocity",
  "chance",
)


def section(tables: object) -> str:
  """Returns all tables of scores.json."""
  parts = [_table(table) for table in _items(tables)]
  return "".join(parts) or say_missing("evaluation/scores.json has no tables.")


def _table(table: Mapping[str, Any]) -> str:
  rows = [_items(row) for row in _items(table.get("rows"))]
  columns = [str(column) for column in _items(table.get("columns"))]
  if rows and len(columns) == len(rows[0]) - 1:
    columns.insert(0, "")  # `columns` names the values only.
  title = str(table.get("title"))
  head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
  # Of a table that is all in metres, heads are names of groups.
  units = ["m" if "in metres" in title else column for column in columns]
  decimals = [
    column_decimals(unit, [row[i] for row in rows if i < len(row)])
    for i, unit in enumerate(units)
  ]
  body = []
  for row in rows:
    style = ' class="baseline"' if _is_baseline(row, table) else ""
    cells = "".join(
      f"<td>{cell_html(value, digits)}</td>"
      for value, digits in zip(row, decimals, strict=False)
    )
    body.append(f"<tr{style}>{cells}</tr>")
  facts = [f"{table.get('split', 'unknown')} split, n = {table.get('n', '?')}"]
  facts += [str(table["note"])] if table.get("note") else []
  return (
    f'<p class="caption"><b>{html.escape(title)}</b> '
    f"({html.escape('. '.join(facts))})</p>"
    '<div class="scroll"><table>'
    f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    "</table></div>"
  )


def _is_baseline(row: list, table: Mapping[str, Any]) -> bool:
  name = str(row[0]) if row else ""
  if "baselines" in table:
    return name in table["baselines"]
  return any(word in name.lower() for word in _BASELINE_WORDS)


def _items(value: object) -> list:
  return value if isinstance(value, list) else []
