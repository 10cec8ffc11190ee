"""Lines over x and y as inline SVG, without scripts or outside fonts.

A plot is 360 units wide. A value that is missing or not finite breaks its
line. Legends are beside the title, so that nothing covers the lines.
"""

import dataclasses
import html
import math
from collections.abc import Mapping

_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 10, 28
_LETTER = 6.5  # Of its width, about.
_LABEL_HEIGHT = 16  # Of the name of an axis.
_MAX_DOTS = 40  # A line with at most this many points also shows them.
_LOG_RATIO = 100  # Values that span more than this may be logarithmic.
COLORS = ("#1d4ed8", "#15803d", "#7e22ce", "#0e7490", "#be185d", "#a16207")


@dataclasses.dataclass(frozen=True)
class Line:
  """A line in a plot.

  Attributes:
    name: For the legend.
    points: x and y of each point.
    color: As in CSS.
    is_dashed: Whether it is a baseline. With one point it is drawn at that
      height from side to side.
    text: What the legend says behind the name.
    dots: x and y of more points, which no line joins.
    bars: x, lower and upper end of intervals.
    shift: How far to the right it is drawn, so that bars lie side by side.
  """

  name: str
  points: list[tuple[int | float, int | float]]
  color: str
  is_dashed: bool = False
  text: str = ""
  dots: tuple[tuple[int | float, int | float], ...] = ()
  bars: tuple[tuple[float, float, float], ...] = ()
  shift: float = 0.0

  @property
  def extent(self) -> list[tuple[int | float, int | float]]:
    """All places that the plot must have room for."""
    ends = [(x, y) for x, *low_high in self.bars for y in low_high]
    return [*self.points, *self.dots, *ends]


def figure(
  title: str,
  lines: list[Line],
  description: str,
  *,
  x_label: str = "",
  y_label: str = "",
  is_log_x: bool = False,
  is_log_y: bool = False,
  x_names: Mapping[float, str] | None = None,
) -> str:
  """Returns a plot with its title and legend.

  Args:
    title: Text, as all that follows.
    lines: With a finite point among them.
    description: For those who do not see it.
    x_label, y_label: Names of the axes, with units.
    is_log_x, is_log_y: Whether all values of an axis are above 0, and it is
      logarithmic.
    x_names: What stands below the axis, by place; None: round numbers.
  """
  points = [point for line in lines for point in line.extent]
  above = _LABEL_HEIGHT if y_label else 0
  below = _LABEL_HEIGHT if x_label else 0
  height = _HEIGHT + above + below
  bottom = height - _BOTTOM - below
  finite = [p for p in points if all(map(math.isfinite, p))]
  y_ticks = _axis_ticks([float(y) for _, y in finite], is_log_y)
  xs = [float(x) for x, _ in points if math.isfinite(x)]
  if x_names is None:
    x_names = {x: _tick_label(x) for x in _axis_ticks(xs, is_log_x, 4)}
  y_at = _scale(
    [*(y for _, y in finite), *y_ticks], is_log_y, bottom, above + _TOP
  )
  x_at = _scale(xs, is_log_x, _LEFT, _WIDTH - _RIGHT)
  parts = []
  for tick, label in zip(y_ticks, _tick_labels(y_ticks), strict=True):
    y = f"{y_at(tick):.1f}"
    parts.append(
      f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" '
      f'class="grid"/><text x="{_LEFT - 6}" y="{y}" dy="4" '
      f'text-anchor="end">{label}</text>'
    )
  for tick, name in x_names.items():
    if min(xs) <= tick <= max(xs):
      x, anchor = x_at(tick), "middle"
      if x + _LETTER * len(name) / 2 > _WIDTH:
        x, anchor = _WIDTH, "end"
      parts.append(
        f'<text x="{x:.1f}" y="{bottom + 18}" '
        f'text-anchor="{anchor}">{html.escape(name)}</text>'
      )
  if x_label:
    parts.append(
      f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{height - 6}" '
      f'text-anchor="middle">{html.escape(x_label)}</text>'
    )
  if y_label:
    parts.append(f'<text x="0" y="11">{html.escape(y_label)}</text>')
  parts += [_line(line, x_at, y_at) for line in lines]
  label = html.escape(title)
  described = html.escape(f"{title}: {description}", quote=True)
  return (
    f'<figure class="panel"><figcaption><b>{label}</b>'
    f'<span class="legend">{"".join(map(_legend, lines))}</span></figcaption>'
    f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
    f'aria-label="{described}">{"".join(parts)}</svg></figure>'
  )


def is_wide(values: list[int | float]) -> bool:
  """Whether values are above 0 and span enough for a logarithmic axis."""
  return min(values) > 0 and max(values) > _LOG_RATIO * min(values)


def _legend(line):
  style = "border-top-style:dashed;" if line.is_dashed else ""
  text = f" {html.escape(line.text)}" if line.text else ""
  return (
    f'<span><i style="{style}border-color:{line.color}"></i>'
    f"{html.escape(line.name)}{text}</span>"
  )


def _line(line, place, y_at):
  style = ' stroke-dasharray="5 4"' if line.is_dashed else ""
  path, dots, pen_is_down = [], [], False

  def x_at(x):
    return place(x) + line.shift

  for point in line.points:
    if not all(map(math.isfinite, point)):
      pen_is_down = False
      continue
    x, y = f"{x_at(point[0]):.1f}", f"{y_at(point[1]):.1f}"
    path.append(f"{'L' if pen_is_down else 'M'}{x} {y}")
    pen_is_down = True
    if len(line.points) <= _MAX_DOTS:
      dots.append(f'<circle cx="{x}" cy="{y}" r="2.2" fill="{line.color}"/>')
  if line.is_dashed and len(dots) == 1 == len(line.points):
    path = [f"M{_LEFT} {y}H{_WIDTH - _RIGHT}"]
  for x, low, high in line.bars:
    path.append(f"M{x_at(x):.1f} {y_at(low):.1f}V{y_at(high):.1f}")
  dots += [
    f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="2.2" fill="#fff" '
    f'stroke="{line.color}" stroke-opacity=".7"/>'
    for x, y in line.dots
  ]
  return (
    f'<path d="{"".join(path)}" fill="none" stroke="{line.color}" '
    f'stroke-width="1.6" stroke-linejoin="round"{style}/>{"".join(dots)}'
  )


def _scale(values, is_log, start, end):
  """Returns a function from values to places between start and end."""
  change = math.log10 if is_log else float
  low, high = min(map(change, values)), max(map(change, values))

  def place(value):
    # One value only: in the middle.
    share = (change(value) - low) / (high - low) if high > low else 0.5
    return start + share * (end - start)

  return place


def _axis_ticks(values, is_log, count=5):
  if is_log:
    return _log_ticks(values)
  return _ticks(min(values), max(values), count)


def _ticks(low: float, high: float, count: int) -> list[float]:
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


def _tick_labels(ticks: list[float]) -> list[str]:
  """With as many digits as tell them apart."""
  for digits in range(4, 10):
    labels = [_tick_label(tick, digits) for tick in ticks]
    if len(set(labels)) == len(ticks):
      break
  return labels


def _tick_label(value: float, digits: int = 4) -> str:
  if abs(value) >= 1e6:
    return f"{value / 1e6:g}M"
  if abs(value) >= 1e4:
    return f"{value / 1e3:g}k"
  return f"{value:.{digits}g}"
