"""The report of a run: one HTML file that needs no network and no server.

`write_report` reads what the stages left in the work folder and says in words
what is not there, so that a report of half a run is still a report. The page
loads nothing: images are `data:` URIs, curves inline SVG, and its content
security policy forbids the rest.
"""

import base64
import html
import importlib.resources
import io
import json
import math
import pathlib
import string
import zipfile
import zlib

import numpy as np
from PIL import Image

from magvit3d import atomic_file
from magvit3d.evaluation import (
  clip_sections,
  curves,
  metrics_file,
  run_passport,
)

STAGES = ("data", "tokenizer", "transformer", "evaluate", "report")
_STATUS_STYLE = {"done": "good", "failed": "bad", "running": "busy"}
_COMPARISONS = {">=": "at least", "<=": "at most"}
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


def write_report(workdir: pathlib.Path) -> pathlib.Path:
  """Writes WORKDIR/report/index.html and returns its path.

  Reads config.json, stages.json, {tokenizer,transformer}/metrics.jsonl,
  evaluation/scores.json, evaluation/clips.npz and data/preview.png. A file
  that is missing or broken is named in its place. The old report stays until
  the new one is complete.
  """
  config, config_problem = _load_json(workdir / "config.json")
  stages, stages_problem = _load_json(workdir / "stages.json")
  scores, scores_problem = _load_json(workdir / "evaluation" / "scores.json")
  clips, clips_problem = _load_clips(workdir / "evaluation" / "clips.npz")
  clips_note = f"{clips_problem} The evaluate stage writes it."
  scores_note = f"{scores_problem} The evaluate stage writes it."

  def moving(section) -> str:
    return _say_missing(clips_note) if clips_problem else section(clips)

  sections = {
    "Checks": _say_missing(scores_note)
    if scores_problem
    else _checks(scores.get("checks")),
    "Scores": _say_missing(scores_note)
    if scores_problem
    else _tables(scores.get("tables")),
    "Reconstruction": moving(clip_sections.reconstruction),
    "Prediction": moving(clip_sections.prediction),
    "Samples": moving(clip_sections.samples),
    "Training": "".join(
      f"<h3>{stage.capitalize()}</h3>"
      + _curves(workdir / stage / "metrics.jsonl")
      for stage in ("tokenizer", "transformer")
    ),
    "Data": _preview(workdir / "data" / "preview.png"),
    "Stages": _say_missing(stages_problem)
    if stages_problem
    else _stages(stages),
    "Passport": run_passport.section(
      run_passport.read(workdir, config, stages, scores)
    ),
    "Configuration": _say_missing(config_problem)
    if config_problem
    else _config(config),
  }
  name = str(config.get("experiment_name") or workdir.resolve().name)
  page = _page(name, _lead(scores, stages), sections)
  path = workdir / "report" / "index.html"
  atomic_file.write_text(path, page)
  return path


def _page(name: str, lead: str, sections: dict[str, str]) -> str:
  package = importlib.resources.files("magvit3d.evaluation")
  template = package.joinpath("report.html").read_text(encoding="utf-8")
  return string.Template(template).substitute(
    title=html.escape(f"magvit3d: {name}"),
    style=package.joinpath("report.css").read_text(encoding="utf-8"),
    lead=lead,
    navigation="".join(
      f'<a href="#{title.lower()}">{title}</a>' for title in sections
    ),
    content="\n".join(
      f'<section id="{title.lower()}"><h2>{title}</h2>{body}</section>'
      for title, body in sections.items()
    ),
  )


def _lead(scores: dict, stages: dict) -> str:
  """One sentence: how many checks hold, and what the run took."""
  parts = []
  checks = [c for c in _items(scores.get("checks")) if isinstance(c, dict)]
  if checks:
    passed = sum(check.get("passed") is True for check in checks)
    parts.append(f"{passed} of {len(checks)} checks hold.")
  seconds = [
    stage.get("seconds") for stage in stages.values() if isinstance(stage, dict)
  ]
  seconds = [s for s in seconds if _is_finite(s)]
  if seconds:
    parts.append(f"The stages took {_duration(sum(seconds))}.")
  run = scores.get("run")
  if isinstance(run, dict) and run.get("date"):
    parts.append(f"Evaluated {run['date']}.")
  return html.escape(" ".join(parts) or "Nothing has been evaluated yet.")


def _checks(checks: object) -> str:
  cards = []
  for check in _items(checks):
    passed = check.get("passed") is True
    unit = html.escape(str(check.get("unit") or ""))
    comparison = str(check.get("comparison"))
    wanted = f"{_COMPARISONS.get(comparison, comparison)} " + _value(
      check.get("threshold")
    )
    cards.append(
      f'<div class="check {"pass" if passed else "fail"}">'
      f'<div class="name">{html.escape(str(check.get("name")))}</div>'
      f'<div class="value">{html.escape(_value(check.get("value")))} '
      f"<small>{unit}</small></div>"
      f'<div class="wanted"><span class="badge {"good" if passed else "bad"}">'
      f"{'pass' if passed else 'fail'}</span> wanted: {html.escape(wanted)} "
      f"{unit}</div></div>"
    )
  if not cards:
    return _say_missing("evaluation/scores.json has no checks.")
  return f'<div class="checks">{"".join(cards)}</div>'


def _tables(tables: object) -> str:
  parts = [_table(table) for table in _items(tables)]
  return "".join(parts) or _say_missing("evaluation/scores.json has no tables.")


def _table(table: dict) -> str:
  rows = _items(table.get("rows"))
  columns = [str(column) for column in _items(table.get("columns"))]
  if rows and len(columns) == len(rows[0]) - 1:
    columns.insert(0, "")  # `columns` names the values only.
  head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
  body = []
  for row in rows:
    style = ' class="baseline"' if _is_baseline(row, table) else ""
    cells = "".join(f"<td>{html.escape(_value(value))}</td>" for value in row)
    body.append(f"<tr{style}>{cells}</tr>")
  facts = [f"{table.get('split', 'unknown')} split, n = {table.get('n', '?')}"]
  facts += [str(table["note"])] if table.get("note") else []
  return (
    f'<p class="caption"><b>{html.escape(str(table.get("title")))}</b> '
    f"({html.escape('. '.join(facts))})</p>"
    '<div class="scroll"><table>'
    f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    "</table></div>"
  )


def _is_baseline(row: list, table: dict) -> bool:
  name = str(row[0]) if row else ""
  if "baselines" in table:
    return name in table["baselines"]
  return any(word in name.lower() for word in _BASELINE_WORDS)


def _curves(path: pathlib.Path) -> str:
  panels = curves.group_panels(metrics_file.read_metrics(path))
  if not panels:
    place = f"{path.parent.name}/{path.name}"
    return _say_missing(f"{place} has no scalars: the stage has not logged.")
  figures = "".join(curves.panel_svg(*item) for item in panels.items())
  return f'<div class="panels">{figures}</div>'


def _preview(path: pathlib.Path) -> str:
  try:
    data = path.read_bytes()
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
      width = image.width
      image.verify()
  except (OSError, SyntaxError) as error:
    kind = "is missing" if isinstance(error, FileNotFoundError) else "is broken"
    return _say_missing(f"data/preview.png {kind}.")
  encoded = base64.b64encode(data).decode("ascii")
  return (
    f'<img class="preview" width="{width}" alt="Clips of the training data" '
    f'src="data:image/png;base64,{encoded}">'
  )


def _stages(stages: dict) -> str:
  rows = []
  for name in (*STAGES, *(s for s in stages if s not in STAGES)):
    stage = stages.get(name)
    stage = stage if isinstance(stage, dict) else {}
    status = str(stage.get("status", "pending"))
    seconds = stage.get("seconds")
    cells = (
      html.escape(name),
      f'<span class="badge {_STATUS_STYLE.get(status, "idle")}">'
      f"{html.escape(status)}</span>",
      _duration(seconds) if _is_finite(seconds) else "–",
      html.escape(str(stage.get("started") or "–")),
    )
    reason = html.escape(str(stage.get("reason") or ""))
    rows.append(
      f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}"
      f'<td class="reason">{reason}</td></tr>'
    )
  heads = ("Stage", "Status", "Time", "Started", "Reason")
  return (
    '<div class="scroll"><table class="text"><thead><tr>'
    f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
    f"<tbody>{''.join(rows)}</tbody></table></div>"
  )


def _config(config: dict) -> str:
  text = json.dumps(config, indent=2, ensure_ascii=False)
  return (
    "<details><summary>All fields of config.json</summary>"
    f"<pre>{html.escape(text)}</pre></details>"
  )


def _load_json(path: pathlib.Path) -> tuple[dict, str]:
  """The object in `path` and "", or {} and why there is none."""
  place = path.name
  if path.parent.name == "evaluation":
    place = f"evaluation/{path.name}"
  try:
    value = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError:
    return {}, f"{place} is missing."
  except (OSError, ValueError) as error:
    return {}, f"{place} cannot be read ({error})."
  if not isinstance(value, dict):
    return {}, f"{place} holds a {type(value).__name__}, not an object."
  return value, ""


def _load_clips(path: pathlib.Path) -> tuple[dict[str, np.ndarray], str]:
  try:
    # Opened here: np.load leaves a broken file open.
    with path.open("rb") as file:
      arrays = np.load(file, allow_pickle=False)
      return dict(arrays), ""
  except FileNotFoundError:
    return {}, "evaluation/clips.npz is missing."
  except (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    return {}, f"evaluation/clips.npz cannot be read ({error})."


def _items(value: object) -> list:
  return value if isinstance(value, list) else []


def _is_finite(value: object) -> bool:
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  return is_number and math.isfinite(value)


def _value(value: object) -> str:
  """Four significant digits of a number; counts in full."""
  if value is None:
    return "–"
  if isinstance(value, bool) or not isinstance(value, int | float):
    return str(value)
  if not math.isfinite(value):
    return "not finite"
  if isinstance(value, int):
    return f"{value:,}"
  return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _duration(seconds: int | float) -> str:
  if seconds < 60:
    return f"{seconds:.1f} s"
  minutes = round(seconds / 60)
  if minutes < 60:
    return f"{minutes} min"
  return f"{minutes // 60} h {minutes % 60:02d} min"


def _say_missing(reason: str) -> str:
  return f'<p class="missing">{html.escape(reason)}</p>'
