"""Training curves: scalars of a stage over its steps.

Scalars whose names differ only in their first part ("train/psnr",
"validation/psnr") share a panel. Losses and norms that span much are
logarithmic. A value that is missing or not finite breaks its line.
"""

import math

from magvit3d.report import line_plots

_MAX_POINTS = 300  # A line has no more: a panel is 360 pixels wide.
_COLORS = {"train": "#8a8f98", "validation": "#c2410c"}
# What a reader asks for first; panels that are not named here follow by name.
_FIRST = (
  "foreground_psnr psnr accuracy loss reconstruction_loss g_loss d_loss "
  "code_perplexity learning_rate steps_per_second"
).split()

Series = dict[str, list[tuple[int, float]]]


def group_panels(records: list[dict]) -> dict[str, Series]:
  """Returns {panel: {series: [(step, value), ...]}} of all scalars.

  Values that are null, missing or not finite are NaN. A scalar that never has
  a finite value gets no panel.
  """
  names = {
    key
    for record in records
    for key, value in record.items()
    if key not in ("step", "time") and _number(value) is not None
  }
  panels = {}
  for name in sorted(names):
    prefix, _, base = name.rpartition("/")
    series = [
      (record["step"], value)
      for record in records
      if name in record
      and (value := _number(record[name], float("nan"))) is not None
    ]
    panels.setdefault(base, {})[prefix or name] = series
  return dict(sorted(panels.items(), key=lambda item: _rank(item[0])))


def panel_svg(title: str, panel: Series) -> str:
  """Returns one panel as an SVG element with its title in a figure."""
  colors = _series_colors(panel)
  finite = [
    value
    for series in panel.values()
    for _, value in series
    if math.isfinite(value)
  ]
  return line_plots.figure(
    title.replace("_", " "),
    [
      line_plots.Line(
        name, _thin(series), colors[name], text=_last_value(series)
      )
      for name, series in panel.items()
    ],
    "over training steps",
    is_log_y=("loss" in title or "norm" in title)
    and line_plots.is_wide(finite),
  )


def _number(value: object, missing: float | None = None) -> float | None:
  """`value` where it is a finite number; `missing` for null, NaN, infinity."""
  if isinstance(value, bool) or not isinstance(value, int | float | None):
    return None
  if value is None or not math.isfinite(value):
    return missing
  return float(value)


def _rank(title: str) -> tuple[int, str]:
  return (_FIRST.index(title) if title in _FIRST else len(_FIRST), title)


def _series_colors(panel: Series) -> dict[str, str]:
  others = [name for name in panel if name not in _COLORS]
  return _COLORS | {
    name: line_plots.COLORS[i % len(line_plots.COLORS)]
    for i, name in enumerate(others)
  }


def _thin(series: list[tuple[int, float]]) -> list[tuple[int | float, float]]:
  """Means of runs of neighbours, at most _MAX_POINTS of them."""
  size = -(-len(series) // _MAX_POINTS)
  if size <= 1:
    return series
  thinned = []
  for start in range(0, len(series), size):
    chunk = series[start : start + size]
    finite = [v for _, v in chunk if math.isfinite(v)]
    mean = sum(finite) / len(finite) if finite else float("nan")
    thinned.append((sum(s for s, _ in chunk) / len(chunk), mean))
  return thinned


def _last_value(series: list[tuple[int, float]]) -> str:
  finite = [value for _, value in series if math.isfinite(value)]
  return f"{finite[-1]:.4g}" if finite else "none finite"
