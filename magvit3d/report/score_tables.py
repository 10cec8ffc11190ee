"""The report's tables of scores: a column has one format of numbers."""

import html
from collections.abc import Sequence

from magvit3d.evaluation.tables import Table
from magvit3d.report.page_texts import (
  cell_html,
  say_missing,
  table_decimals,
  table_facts,
)


def section(tables: Sequence[Table]) -> str:
  """Returns all tables of scores.json."""
  parts = [_table(table) for table in tables]
  return "".join(parts) or say_missing("evaluation/scores.json has no tables.")


def _table(table: Table) -> str:
  headings = [column.heading for column in table.columns]
  head = "".join(
    f"<th>{html.escape(text)}</th>" for text in (table.row_heading, *headings)
  )
  decimals = table_decimals([table])
  body = []
  for row in table.rows:
    style = ' class="baseline"' if row.role == "baseline" else ""
    cells = "".join(
      f"<td>{cell_html(cell, decimals[heading])}</td>"
      for cell, heading in zip(row.cells, headings, strict=True)
    )
    body.append(f"<tr{style}><td>{html.escape(row.name)}</td>{cells}</tr>")
  facts = table_facts(table) + (f". {table.note}" if table.note else "")
  return (
    f'<p class="caption"><b>{html.escape(table.title)}</b> '
    f"({html.escape(facts)})</p>"
    '<div class="scroll"><table>'
    f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    "</table></div>"
  )
