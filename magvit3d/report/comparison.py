"""A page that shows several runs beside each other; it loads nothing."""

import html
import os
import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence

from magvit3d.errors import UserError
from magvit3d.files import atomic_file
from magvit3d.report import (
  check_section,
  compared_scores,
  curves,
  page_texts,
  pages,
  run_passport,
  swept_fields,
)
from magvit3d.report.compared_runs import Run
from magvit3d.report.compared_scores import MISSING, Block
from magvit3d.report.page_texts import cell_html, say_missing

_NAME_WIDTH, _RUN_WIDTH = 180, 140  # Of a table's columns, pixels.
_MAX_NAMES = 8  # Of runs at the top.
_BEST_NOTE = (
  "Green: the best of these runs by its mean, where it is known whether more "
  "or less is better. In brackets are 95% intervals over scenes; where they "
  "overlap, the difference may be chance. Baselines and floors are not marked."
)
_UNMARKED_NOTE = "No value is marked as best, see the top of the page."


def check_output(runs: Sequence[Run], output: pathlib.Path) -> None:
  """Raises UserError where the page would replace a run's own report."""
  for run in runs:
    if output.resolve() == run.report.resolve():
      raise UserError(
        f"--output={output} is the report of {run.name}. Name another file."
      )


def write(
  runs: Sequence[Run],
  output: pathlib.Path,
  swept: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
  """Writes the page.

  Args:
    runs: To compare; two or more.
    output: The file. Links to the runs' reports are relative to it.
    swept: Values of the fields of a sweep, by name of a run.
  """
  data_warnings = compared_scores.data_warnings(runs)
  blocks = compared_scores.align(runs, may_mark=not data_warnings)
  titles = {}
  for block in blocks:
    for warning in block.warnings:
      titles.setdefault(warning, []).append(block.title)
  warnings = data_warnings + [
    f"{', '.join(tables)}: {warning}." for warning, tables in titles.items()
  ]
  sections = {
    "Runs": _warnings(warnings) + _links(runs, output),
    **({"Swept fields": swept_fields.section(runs, swept)} if swept else {}),
    "Checks": _checks(runs),
    "Scores": _scores(runs, blocks, is_marked=not data_warnings),
    "Training": _training(runs),
    "Configuration": _configs(runs),
    "Passports": _passports(runs),
  }
  names = ", ".join(run.name for run in runs[:_MAX_NAMES])
  more = ", ..." if len(runs) > _MAX_NAMES else "."
  lead = html.escape(f"{len(runs)} runs: {names}{more}")
  page = pages.make_page(
    "magvit3d: comparison",
    lead,
    sections,
    style=page_texts.read_text("comparison.css"),
  )
  atomic_file.write_text(output, page)


def _warnings(warnings: list[str]) -> str:
  if not warnings:
    return ""
  items = "".join(f"<li>{html.escape(warning)}</li>" for warning in warnings)
  return (
    '<div class="warning"><b>Not all of these scores can be compared.</b> '
    f"Where they cannot, no value is marked as best.<ul>{items}</ul></div>"
  )


def _links(runs: Sequence[Run], output: pathlib.Path) -> str:
  items = []
  for run in runs:
    name = html.escape(run.name)
    if run.report.exists():
      # As the reader's browser sees it: `..` leaves the real folder.
      path = os.path.relpath(run.report.resolve(), output.parent.resolve())
      link = urllib.parse.quote(pathlib.PurePath(path).as_posix())
      items.append(f'<li><a href="{link}">Report of {name}</a></li>')
    else:
      items.append(f"<li>{name} has no report yet.</li>")
  return f'<ul class="runs">{"".join(items)}</ul>'


def _head(runs: Sequence[Run], first: str = "") -> str:
  cells = "".join(f"<th>{html.escape(name)}</th>" for name in _names(runs))
  return f"<thead><tr><th>{first}</th>{cells}</tr></thead>"


def _names(runs: Sequence[Run]) -> list[str]:
  return [run.name for run in runs]


def _table(head: str, rows: list[str], is_text: bool = False) -> str:
  style = "compared text" if is_text else "compared"
  return (
    f'<div class="scroll"><table class="{style}">{head}'
    f"<tbody>{''.join(rows)}</tbody></table></div>"
  )


def _group(name: str, num_runs: int, badge: str = "", style: str = "") -> str:
  mark = f"<span>{badge}</span>" if badge else ""
  return (
    f'<tr class="group {style}"><td colspan="{num_runs + 1}">'
    f"{html.escape(name)}{mark}</td></tr>"
  )


def _row(name: str, cells: Sequence[str]) -> str:
  shown = "".join(f"<td>{cell}</td>" for cell in cells)
  return f"<tr><td>{html.escape(name)}</td>{shown}</tr>"


def _checks(runs: Sequence[Run]) -> str:
  names = dict.fromkeys(
    str(check.get("name")) for run in runs for check in run.checks
  )
  if not names:
    return say_missing("None of the runs has checks.")
  rows = [_row(name, [_check(run, name) for run in runs]) for name in names]
  return _table(_head(runs), rows)


def _check(run: Run, name: str) -> str:
  for check in run.checks:
    if str(check.get("name")) == name:
      value, wanted = check_section.texts(check)
      badge = check_section.badge(check)
      return f"{value} {badge}<small>wanted {wanted}</small>"
  return MISSING


def _scores(runs: Sequence[Run], blocks: list[Block], is_marked: bool) -> str:
  if not blocks:
    return say_missing("None of the runs has tables.")
  note = _BEST_NOTE if is_marked else _UNMARKED_NOTE
  shown = "".join(
    f'<div class="block">{_block(runs, block)}</div>' for block in blocks
  )
  width = _NAME_WIDTH + _RUN_WIDTH * len(runs)
  return (
    f'<p class="note">{note}</p>'
    f'<div class="blocks" style="--width: {width}px">{shown}</div>'
  )


def _block(runs: Sequence[Run], block: Block) -> str:
  rows = []
  for name, is_baseline, lines in block.groups:
    style = "given" if is_baseline else ""
    badge = "baseline" if is_baseline else ""
    rows.append(_group(name, len(runs), badge, style))
    for line in lines:
      cells = "".join(
        f"<td{_best(index in line.best)}>"
        f"{cell_html(cell, line.decimals) if cell else MISSING}</td>"
        for index, cell in enumerate(line.cells)
      )
      rows.append(
        f'<tr class="{style}"><td>{html.escape(line.column or name)}</td>'
        f"{cells}</tr>"
      )
  warnings = "".join(
    say_missing(f"Not comparable: {warning}.") for warning in block.warnings
  )
  notes = ""
  if block.notes:
    notes = (
      "<details><summary>How to read it</summary>"
      f"{_by_run(block.notes, len(runs))}</details>"
    )
  return (
    f"<h3>{html.escape(block.title)}</h3>"
    f"{_by_run(block.facts, len(runs))}{notes}{warnings}"
    + _table(_head(runs), rows)
  )


def _by_run(texts: dict[str, str], num_runs: int) -> str:
  """Each run's text, or the only one."""
  different = set(texts.values())
  if len(different) == 1 and len(texts) == num_runs:
    return f'<p class="note">{html.escape(different.pop())}</p>'
  by_text = {}
  for run, text in texts.items():
    by_text.setdefault(text, []).append(run)
  return "".join(
    f'<p class="note"><b>{html.escape(", ".join(names))}:</b> '
    f"{html.escape(text)}</p>"
    for text, names in by_text.items()
  )


def _best(is_best: bool) -> str:
  return ' class="best"' if is_best else ""


def _training(runs: Sequence[Run]) -> str:
  parts = []
  for stage in dict.fromkeys(stage for run in runs for stage in run.panels):
    scalars = {}
    for run in runs:
      for base, panel in run.panels.get(stage, {}).items():
        for kind, series in panel.items():
          title = base if kind == base else f"{base}, {kind}"
          scalars.setdefault(base, {}).setdefault(title, {})[run.name] = series
    # Empty ones too, so that a run has the same colour everywhere.
    figures = "".join(
      curves.panel_svg(
        title, {name: lines.get(name, []) for name in _names(runs)}
      )
      for panel in scalars.values()
      for title, lines in panel.items()
    )
    parts.append(
      f"<h3>{html.escape(stage.capitalize())}</h3>"
      f'<div class="panels">{figures}</div>'
    )
  return "".join(parts) or say_missing("None of the runs has logged scalars.")


def _configs(runs: Sequence[Run]) -> str:
  flat = [run_passport.flatten(run.config) for run in runs]
  rows = []
  for field in dict.fromkeys(field for config in flat for field in config):
    texts = [str(c[field]) if field in c else MISSING for c in flat]
    if len(set(texts)) > 1:
      rows.append(_row(field, [html.escape(text) for text in texts]))
  if not rows:
    return "<p>The runs have the same config.</p>"
  note = f"Fields that differ; {MISSING}: the run's config has none."
  return f'<p class="note">{note}</p>' + _table(
    _head(runs, "config"), rows, is_text=True
  )


def _passports(runs: Sequence[Run]) -> str:
  rows = []
  for group in dict.fromkeys(group for run in runs for group in run.passport):
    found = [run.passport.get(group, {}) for run in runs]
    rows.append(_group(group, len(runs)))
    rows += [
      _row(name, [html.escape(facts.get(name, MISSING)) for facts in found])
      for name in dict.fromkeys(name for facts in found for name in facts)
    ]
  return _table(_head(runs), rows, is_text=True)
