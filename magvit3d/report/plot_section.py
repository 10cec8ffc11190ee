"""The report's plots of one score against another, such as rate and PSNR."""

import html
import itertools
from typing import Any, TypedDict

from data_gen.files import json_files
from magvit3d.report import line_plots, page_texts

# Lines of baselines are dashed; the first of the others is the model's.
_BASELINE_COLORS = ("#5b636e", "#a16207", "#be185d", "#0e7490")
_COLORS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce")


class _Line(TypedDict, total=False):
  """Of what is drawn; what it lacks is left out."""

  x: list[Any]
  y: list[Any]


class _Plot(TypedDict, total=False):
  """The same."""

  series: list[_Line] | None


def plots(described: object) -> str:
  """Returns the plots of `evaluation/scores.json`, or what is wrong.

  Args:
    described: A list of {title, note, x_label, y_label, series}, and series of
      {name, x, y, is_baseline}; baselines are dashed.
  """
  found = json_files.fitting(described, _Plot)
  if not found:
    return page_texts.say_missing(
      "evaluation/scores.json has no plots: an older version of the evaluate "
      "stage wrote it, or had nothing to plot."
    )
  return f'<div class="panels wide">{"".join(map(_plot, found))}</div>'


def _plot(plot):
  title = str(plot.get("title"))
  lines = _lines(plot.get("series") or ())
  points = [
    point
    for line in lines
    for point in line.points
    if all(map(page_texts.is_finite, point))
  ]
  if not points:
    return page_texts.say_missing(f"{title}: there are no finite values.")
  drawn = line_plots.figure(
    title,
    lines,
    f"{plot.get('y_label')} over {plot.get('x_label')}",
    x_label=str(plot.get("x_label") or ""),
    y_label=str(plot.get("y_label") or ""),
    is_log_x=line_plots.is_wide([x for x, _ in points]),
  )
  note = html.escape(str(plot.get("note") or ""))
  return f'<div>{drawn}<p class="note">{note}</p></div>'


def _lines(series):
  lines = []
  colors = {
    True: itertools.cycle(_BASELINE_COLORS),
    False: itertools.cycle(_COLORS),
  }
  for entry in series:
    is_baseline = bool(entry.get("is_baseline"))
    pairs = zip(entry.get("x") or (), entry.get("y") or (), strict=False)
    lines.append(
      line_plots.Line(
        str(entry.get("name")),
        [(_number(x), _number(y)) for x, y in pairs],
        next(colors[is_baseline]),
        is_dashed=is_baseline,
      )
    )
  return lines


def _number(value):
  return float(value) if page_texts.is_finite(value) else float("nan")
