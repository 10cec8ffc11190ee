"""Training curves as inline SVG, without scripts or outside fonts.

Conventions: a panel is 360 x 210 units, x is the training step. Scalars whose
names differ only in their first part ("train/psnr", "validation/psnr") share a
panel. A value that is missing or not finite breaks its line.
"""

import html
import math

_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 10, 28
_MAX_POINTS = 300  # A line has no more: a panel is 360 pixels wide.
_MAX_DOTS = 40  # A line with at most this many points also shows them.
_LOG_RATIO = 100  # Losses that span more than this get a logarithmic axis.
_COLORS = {"train": "#8a8f98", "validation": "#c2410c"}
_OTHER_COLORS = ("#1d4ed8", "#15803d", "#7e22ce", "#0e7490")
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
  points = [p for series in panel.values() for p in series]
  finite = [value for _, value in points if math.isfinite(value)]
  is_log = (
    ("loss" in title or "norm" in title)
    and min(finite) > 0
    and max(finite) > _LOG_RATIO * min(finite)
  )
  y_ticks = _log_ticks(finite) if is_log else _ticks(min(finite), max(finite))
  x_low = float(min(step for step, _ in points))
  x_high = float(max(step for step, _ in points))
  x_ticks = _ticks(x_low, x_high, 4)
  scale_y = math.log10 if is_log else float
  y_values = [scale_y(v) for v in (*finite, *y_ticks)]
  y_low, y_high = min(y_values), max(y_values)

  def x_at(step: int | float) -> float:
    share = (step - x_low) / ((x_high - x_low) or 1)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

  def y_at(value: float) -> float:
    share = 0.5  # One value only: a line in the middle.
    if y_high > y_low:
      share = (scale_y(value) - y_low) / (y_high - y_low)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

  parts = []
  for tick in y_ticks:
    y = f"{y_at(tick):.1f}"
    parts.append(
      f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" '
      f'class="grid"/><text x="{_LEFT - 6}" y="{y}" dy="4" '
      f'text-anchor="end">{_tick_label(tick)}</text>'
    )
  for tick in x_ticks:
    if x_low <= tick <= x_high:
      parts.append(
        f'<text x="{x_at(tick):.1f}" y="{_HEIGHT - 10}" '
        f'text-anchor="middle">{_tick_label(tick)}</text>'
      )
  colors = _series_colors(panel)
  for name, series in panel.items():
    parts.append(_line(_thin(series), x_at, y_at, colors[name]))
  legend = "".join(
    f'<span><i style="background:{colors[name]}"></i>{html.escape(name)} '
    f"{_last_value(series)}</span>"
    for name, series in panel.items()
  )
  label = html.escape(title.replace("_", " "))
  return (
    f'<figure class="panel"><figcaption><b>{label}</b>'
    f'<span class="legend">{legend}</span></figcaption>'
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{label} over training steps">{"".join(parts)}</svg></figure>'
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
    name: _OTHER_COLORS[i % len(_OTHER_COLORS)] for i, name in enumerate(others)
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


def _line(series, x_at, y_at, color: str) -> str:
  path, dots, pen_is_down = [], [], False
  for step, value in series:
    if not math.isfinite(value):
      pen_is_down = False
      continue
    x, y = f"{x_at(step):.1f}", f"{y_at(value):.1f}"
    path.append(f"{'L' if pen_is_down else 'M'}{x} {y}")
    pen_is_down = True
    if len(series) <= _MAX_DOTS:
      dots.append(f'<circle cx="{x}" cy="{y}" r="2.2" fill="{color}"/>')
  return (
    f'<path d="{"".join(path)}" fill="none" stroke="{color}" '
    f'stroke-width="1.6" stroke-linejoin="round"/>{"".join(dots)}'
  )


def _last_value(series: list[tuple[int, float]]) -> str:
  finite = [value for _, value in series if math.isfinite(value)]
  return f"{finite[-1]:.4g}" if finite else "none finite"


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
  """Round numbers that cover [low, high] in about `count` steps."""
  if low == high:
    return [low]
  raw = (high - low) / count
  unit = 10 ** math.floor(math.log10(raw))
  step = next(
    m * unit for m in (1.0, 2.0, 5.0, 10.0) if m * unit >= raw * 0.999
  )
  first, last = math.floor(low / step), math.ceil(high / step)
  return [i * step for i in range(first, last + 1)]


def _log_ticks(values: list[float]) -> list[float]:
  first = math.floor(math.log10(min(values)))
  last = math.ceil(math.log10(max(values)))
  stride = max(1, (last - first) // 5)
  return [10.0**e for e in range(first, last + 1, stride)]


def _tick_label(value: float) -> str:
  if abs(value) >= 1e6:
    return f"{value / 1e6:g}M"
  if abs(value) >= 1e4:
    return f"{value / 1e3:g}k"
  return f"{value:.4g}"
