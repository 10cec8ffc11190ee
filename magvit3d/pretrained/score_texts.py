"""Scores of a run as Markdown, for the cards of trained networks."""

from collections.abc import Mapping, Sequence
from typing import Any

from magvit3d.evaluation.tables import Table
from magvit3d.report.check_section import as_checks, verdict
from magvit3d.report.page_texts import (
  cell_text,
  table_decimals,
  table_facts,
  value_text,
)

# Of scores.json; those that a run lacks are left out.
TABLES = (
  "Paths through the tokenizer",
  "Predicted paths",
  "Predicted paths: ADE in metres by shape and motion",
  "Predicted views",
)
INTERVALS = "Mean [95% interval, bootstrap over scenes]."


def score_table(table: Table) -> str:
  """Returns a table with its title."""
  headings = [column.heading for column in table.columns]
  decimals = table_decimals([table])
  rows = [
    [
      row.name,
      *(
        " ".join(cell_text(cell, decimals[heading])).rstrip()
        for cell, heading in zip(row.cells, headings, strict=True)
      ),
    ]
    for row in table.rows
  ]
  title = f"**{table.title}** ({table_facts(table)})"
  return f"{title}\n\n{plain_table([table.row_heading, *headings], rows)}"


def missed_checks(found: object) -> str:
  """Returns which of a report's checks a run misses, as a list.

  Args:
    found: Of scores.json; it may be anything.
  """
  checks = as_checks(found)
  missed = [check for check in checks if verdict(check) != "pass"]
  return (
    f"Of {len(checks)} checks of the report it misses {len(missed)}"
    + "".join(f"\n- {_check_text(check)}" for check in missed)
  )


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
  """Returns a table of texts and numbers."""
  lines = [list(columns), ["---"] * len(columns), *rows]
  return "\n".join(
    "| " + " | ".join(_cell(value) for value in line) + " |" for line in lines
  )


def _check_text(check: Mapping[str, Any]) -> str:
  value, threshold = check.get("value"), check.get("threshold")
  if value is None or threshold is None:
    return f"{check.get('name')}: not measured"
  wanted = (
    f"{check.get('comparison')} {value_text(threshold)} {check.get('unit')}"
  )
  return f"{check.get('name')}: {value_text(value)}, wanted {wanted.strip()}"


def _cell(value: Any) -> str:
  return f"{value:.4f}" if isinstance(value, float) else str(value)
