"""Charts as inline SVG, for pages."""

import dataclasses
import html
import json
from collections.abc import Sequence

import numpy as np

_WIDTH, _HEIGHT = 480, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 8, 20


@dataclasses.dataclass(frozen=True)
class Series:
  """One line of a chart.

  Attributes:
    name: For the legend.
    values: (T,), one a frame; NaN where there is none.
    color: As in CSS.
    is_dashed: Whether the line is.
  """

  name: str
  values: np.ndarray
  color: str
  is_dashed: bool = False


def line_chart(title: str, unit: str, series: Sequence[Series]) -> str:
  """Returns a figure of values by frame, with a place for a cursor."""
  values = np.array([line.values for line in series], float)
  known = values[np.isfinite(values)]
  if not known.size:
    return say_missing(f"{title}: unknown.")
  low, high = _widen(known.min(), known.max())
  num_frames = values.shape[1]
  x = _LEFT + np.arange(num_frames) / max(num_frames - 1, 1) * (
    _WIDTH - _LEFT - _RIGHT
  )
  y = (
    _HEIGHT
    - _BOTTOM
    - (values - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
  )
  lines = "".join(
    f'<path class="series{" dashed" if line.is_dashed else ""}" '
    f'style="--series: {line.color}" d="{_path(x, heights)}"/>'
    for line, heights in zip(series, y, strict=True)
  )
  legend = "".join(
    f'<span><i class="{"dashed" if line.is_dashed else ""}" '
    f'style="--series: {line.color}"></i>{html.escape(line.name)} '
    f"<span data-values='{_as_json(line.values)}'></span></span>"
    for line in series
  )
  levels = _levels(
    [_number(v, high - low) for v in (low, (low + high) / 2, high)]
  )
  axis = _text(_LEFT, _HEIGHT - 4, "frame 0", "start") + _text(
    _WIDTH - _RIGHT, _HEIGHT - 4, str(num_frames - 1), "end"
  )
  return (
    f'<figure class="chart"><figcaption><b>{html.escape(title)} '
    f'<span class="note">{html.escape(unit)}</span></b>'
    f'<span class="legend">{legend}</span></figcaption>'
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" data-left="{_LEFT}" '
    f'data-right="{_WIDTH - _RIGHT}" data-top="{_TOP}" '
    f'data-bottom="{_HEIGHT - _BOTTOM}">{levels}{axis}{lines}'
    '<path class="cursor" d=""/></svg></figure>'
  )


def bar_chart(
  title: str, unit: str, counts: np.ndarray, edges: np.ndarray, note: str
) -> str:
  """Returns a figure of a histogram.

  Args:
    title: Bold, above it.
    unit: Of the values counted.
    counts: (n,).
    edges: Of the bins, (n + 1,), increasing, evenly spaced.
    note: Behind the title.
  """
  width = (_WIDTH - _LEFT - _RIGHT) / len(counts)
  most = max(int(counts.max()), 1)
  heights = counts / most * (_HEIGHT - _TOP - _BOTTOM)
  bars = "".join(
    f'<rect class="bar" x="{_LEFT + i * width + 0.5:.1f}" '
    f'y="{_HEIGHT - _BOTTOM - height:.1f}" width="{width - 1:.1f}" '
    f'height="{height:.1f}"><title>{edges[i]:.4g} to {edges[i + 1]:.4g} '
    f"{unit}: {counts[i]}</title></rect>"
    for i, height in enumerate(heights)
  )
  span = edges[-1] - edges[0]
  axis = "".join(
    _text(x, _HEIGHT - 4, f"{_number(edge, span)} {unit}", anchor)
    for x, edge, anchor in (
      (_LEFT, edges[0], "start"),
      (_WIDTH - _RIGHT, edges[-1], "end"),
    )
  )
  return (
    f'<figure class="chart"><figcaption><b>{html.escape(title)}</b>'
    f'<span class="legend">{html.escape(note)}</span></figcaption>'
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    f"{_levels(['0', f'{most:,}'])}{axis}{bars}</svg></figure>"
  )


def say_missing(reason: str) -> str:
  """Returns a paragraph that says why something is not there."""
  return f'<p class="missing">{html.escape(reason)}</p>'


def _widen(low, high):
  """A range that is not empty, and a little wider."""
  margin = max(0.06 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-3)
  return low - margin, high + margin


def _path(x, y):
  """The line through the known points; it breaks at others."""
  parts, is_open = [], False
  for across, down in zip(x, y, strict=True):
    if not np.isfinite(down):
      is_open = False
      continue
    parts.append(f"{'L' if is_open else 'M'}{across:.1f} {down:.1f}")
    is_open = True
  return "".join(parts)


def _levels(texts):
  """Lines with texts, evenly spaced from the bottom to the top."""
  parts = []
  for share, text in zip(np.linspace(0, 1, len(texts)), texts, strict=True):
    y = _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
    parts.append(
      f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
      + _text(_LEFT - 6, y + 4, text, "end")
    )
  return "".join(parts)


def _number(value, span):
  """A number with as many digits as the span of the axis asks for."""
  num_digits = sum(span < limit for limit in (20, 2, 0.05))
  return f"{round(value, num_digits) + 0.0:.{num_digits}f}"  # No "-0.00".


def _text(x, y, text, anchor):
  return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _as_json(values):
  """Values as a page shows them: whole numbers, or with three digits."""
  known = values[np.isfinite(values)]
  num_digits = 0 if (known == np.rint(known)).all() else 3
  return json.dumps(
    [f"{v:.{num_digits}f}" if np.isfinite(v) else None for v in values]
  )
