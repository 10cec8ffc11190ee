"""The report's plots of one score against another, such as rate and PSNR."""

import html

from magvit3d.evaluation import line_plots, page_texts

_BASELINE_COLOR = "#5b636e"
_PREDICTED_COLOR = "#c2410c"  # Of the first line that is no baseline.


def plots(described: object) -> str:
  """Returns the plots of `evaluation/scores.json`, or what is wrong.

  Args:
    described: A list of {title, note, x_label, y_label, series}, and series of
      {name, x, y, is_baseline}; baselines are dashed.
  """
  if not isinstance(described, list) or not described:
    return page_texts.say_missing(
      "evaluation/scores.json has no plots: an older version of the evaluate "
      "stage wrote it, or had nothing to plot."
    )
  return f'<div class="panels wide">{"".join(map(_plot, described))}</div>'


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
  lines, num_baselines = [], 0
  colors = (_PREDICTED_COLOR, *line_plots.COLORS)
  for entry in series:
    is_baseline = bool(entry.get("is_baseline"))
    num_baselines += is_baseline
    color = colors[(len(lines) - num_baselines + is_baseline) % len(colors)]
    pairs = zip(entry.get("x") or (), entry.get("y") or (), strict=False)
    lines.append(
      line_plots.Line(
        str(entry.get("name")),
        [(_number(x), _number(y)) for x, y in pairs],
        _BASELINE_COLOR if is_baseline else color,
        is_dashed=is_baseline,
      )
    )
  return lines


def _number(value):
  return float(value) if page_texts.is_finite(value) else float("nan")
