"""The report of a run: one HTML file that needs no network and no server.

`write_report` reads what the stages left in the work folder and says in words
what is not there, so that a report of half a run is still a report. The page
loads nothing: images are `data:` URIs, curves inline SVG, its content security
policy knows the one script by its hash, and forbids the rest.
"""

import base64
import html
import json
import pathlib
from collections.abc import Callable

from data_gen.files import pictures, plain_files
from magvit3d.files import atomic_file
from magvit3d.monitoring import metrics_file, stage_progress
from magvit3d.report import (
  check_section,
  clip_sections,
  confusion_tables,
  curves,
  file_reading,
  gallery_section,
  motion_section,
  pages,
  path_section,
  plot_section,
  run_passport,
  score_tables,
)
from magvit3d.report.page_texts import (
  duration_text,
  is_finite,
  is_missing,
  say_missing,
)

PARTS = {"sections": 1.0}  # See `stage_progress`.
_MOST_PREVIEW_BYTES = 2**25
_OF_STAGES = ("Stages", "Passport")
STAGES = ("data", "tokenizer", "transformer", "evaluate", "report")
_WITHOUT_TRAINING = ("data", "evaluate", "report")
_STATUS_STYLE = {"done": "good", "failed": "bad", "running": "busy"}


def write_report(
  workdir: pathlib.Path, kept: dict[str, str] | None = None
) -> pathlib.Path:
  """Writes WORKDIR/report/index.html and returns its path.

  Reads config.json, stages.json, {tokenizer,transformer}/metrics.jsonl,
  evaluation/{scores.json,clips.npz,paths.npz} and data/preview.png. A file
  that is missing or broken is named in its place. The old report stays until
  the new one is complete.

  Args:
    workdir: Of the run.
    kept: Sections of a call just before, which are not made again, but for
      those that say how long the stages took; filled here.
  """
  config, config_problem = file_reading.load_json(workdir / "config.json")
  stages, stages_problem = file_reading.load_json(workdir / "stages.json")
  evaluation = workdir / "evaluation"
  scores, scores_problem = file_reading.load_json(evaluation / "scores.json")
  clips, clips_problem = file_reading.load_arrays(evaluation / "clips.npz")
  paths, paths_problem = file_reading.load_arrays(evaluation / "paths.npz")
  clips_note = f"{clips_problem} The evaluate stage writes it."
  scores_note = f"{scores_problem} The evaluate stage writes it."

  def scored(section, key) -> str:
    if scores_problem:
      return say_missing(scores_note)
    return section(scores.get(key))

  def moving(section) -> str:
    return say_missing(clips_note) if clips_problem else section(clips)

  shown_paths, shown_ids, script = _paths(
    paths, paths_problem, clips, str(scores.get("why_no_paths") or "")
  )
  makers = {
    "Motions": lambda: moving(
      lambda arrays: motion_section.section(arrays, shown_ids)
    ),
    "Paths": lambda: shown_paths,
    "Checks": lambda: scored(check_section.section, "checks"),
    "Scores": lambda: (
      say_missing(scores_note)
      if scores_problem
      else score_tables.section(file_reading.read_tables(scores))
    ),
    "Plots": lambda: scored(plot_section.plots, "plots"),
    "Confusion": lambda: scored(confusion_tables.tables, "confusions"),
    "Galleries": lambda: moving(
      lambda arrays: gallery_section.section(arrays, shown_ids)
    ),
    **_pairs(clips),
    "Reconstruction": lambda: moving(clip_sections.reconstruction),
    "Prediction": lambda: moving(clip_sections.prediction),
    "Samples": lambda: moving(clip_sections.samples),
    "Training": lambda: _training(workdir, stages),
    "Data": lambda: _preview(workdir / "data" / "preview.png"),
    "Stages": lambda: (
      say_missing(stages_problem) if stages_problem else _stages(stages)
    ),
    "Passport": lambda: run_passport.section(
      run_passport.read(workdir, config, stages, scores)
    ),
    "Configuration": lambda: (
      say_missing(config_problem) if config_problem else _config(config)
    ),
  }
  kept = {} if kept is None else kept
  for number, (title, make) in enumerate(makers.items()):
    stage_progress.note(number, len(makers))
    if title not in kept or title in _OF_STAGES:
      kept[title] = make()
  if _is_partial(stages):
    kept = {title: text for title, text in kept.items() if not is_missing(text)}
  name = str(config.get("experiment_name") or workdir.resolve().name)
  page = pages.make_page(
    f"magvit3d: {name}", _lead(scores, stages), kept, script
  )
  path = workdir / "report" / "index.html"
  atomic_file.write_text(path, page)
  return path


def is_whole(path: pathlib.Path) -> bool:
  """Whether there is a page at `path`, up to its end."""
  return path.is_file() and path.read_bytes().rstrip().endswith(b"</html>")


def _is_partial(stages: dict) -> bool:
  """Whether it is a run of one network, or a study: its page has less."""
  is_usual = {"data", "tokenizer"} <= stages.keys() <= set(STAGES)
  return bool(stages) and not is_usual


def _stage_names(stages: dict) -> tuple[str, ...]:
  if _is_partial(stages):
    return tuple(stages)
  return (*STAGES, *(name for name in stages if name not in STAGES))


def _pairs(clips) -> dict[str, Callable[[], str]]:
  """The section of a study of pairs; other runs have none."""
  is_there = any(name.startswith("pairs/") for name in clips)
  return {"Pairs": lambda: clip_sections.pairs(clips)} if is_there else {}


def _paths(paths, problem, clips, why_none) -> tuple[str, set[int], str]:
  """The section of paths, the scenes in it, and its script."""
  if problem and why_none:
    problem = f"There are no paths in metres. {why_none}"
  elif problem:
    problem += " The evaluate stage writes it for scenes of several cameras."
  problem = problem or path_section.problem(paths)
  if problem:
    return say_missing(problem), set(), ""
  of_motions = motion_section.scene_ids(clips)
  rows = path_section.choose_scenes(
    paths, of_motions + gallery_section.scene_ids(clips)
  )
  shown_ids = {int(scene) for scene in paths["scene_id"][rows]}
  shown = path_section.section(paths, rows, next(iter(of_motions), None))
  return shown, shown_ids, path_section.script()


def _lead(scores: dict, stages: dict) -> str:
  """How the checks did, and what the run took, as HTML."""
  parts = check_section.lead(scores)
  seconds = [
    stage.get("seconds") for stage in stages.values() if isinstance(stage, dict)
  ]
  seconds = [s for s in seconds if is_finite(s)]
  if seconds:
    parts.append(f"The stages took {duration_text(sum(seconds))}.")
  run = scores.get("run")
  if isinstance(run, dict) and run.get("date"):
    parts.append(f"Evaluated {html.escape(str(run['date']))}.")
  return " ".join(parts) or "Nothing has been evaluated yet."


def _training(workdir: pathlib.Path, stages: dict) -> str:
  curves_of = {
    stage: _curves(workdir / stage / "metrics.jsonl")
    for stage in _stage_names(stages)
    if stage not in _WITHOUT_TRAINING
  }
  if not curves_of:
    return say_missing("Nothing is trained.")
  return "".join(
    f"<h3>{stage.capitalize()}</h3>{shown}"
    for stage, shown in curves_of.items()
  )


def _curves(path: pathlib.Path) -> str:
  panels = curves.group_panels(metrics_file.read_metrics(path))
  if not panels:
    place = f"{path.parent.name}/{path.name}"
    return say_missing(f"{place} has no scalars: the stage has not logged.")
  figures = "".join(curves.panel_svg(*item) for item in panels.items())
  return f'<div class="panels">{figures}</div>'


def _preview(path: pathlib.Path) -> str:
  try:
    data = plain_files.read_bytes(path, _MOST_PREVIEW_BYTES)
    width = pictures.read(data, kinds=("PNG",)).width
  except (OSError, pictures.PictureError) as error:
    kind = "is missing" if isinstance(error, FileNotFoundError) else "is broken"
    return say_missing(f"data/preview.png {kind}.")
  encoded = base64.b64encode(data).decode("ascii")
  return (
    f'<img class="preview" width="{width}" alt="Clips of the training data" '
    f'src="data:image/png;base64,{encoded}">'
  )


def _stages(stages: dict) -> str:
  rows = []
  for name in _stage_names(stages):
    stage = stages.get(name)
    stage = stage if isinstance(stage, dict) else {}
    status = str(stage.get("status", "pending"))
    seconds = stage.get("seconds")
    cells = (
      html.escape(name),
      f'<span class="badge {_STATUS_STYLE.get(status, "idle")}">'
      f"{html.escape(status)}</span>",
      duration_text(seconds) if is_finite(seconds) else "–",
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
