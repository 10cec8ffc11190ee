"""Each field that a sweep changes against each headline score."""

import dataclasses
import html
import math
import statistics
from collections.abc import Mapping, Sequence

from magvit3d.evaluation.tables import Direction
from magvit3d.report import line_plots
from magvit3d.report.compared_runs import Run
from magvit3d.report.page_texts import is_finite, say_missing

SEED = "seed"  # Points that differ in it alone are repetitions.
# Table and column; of runs that have none of them, the first score that is
# better in one direction, of each table.
_HEADLINES = (
  ("Predicted paths", "ADE"),
  ("Predicted clips", "foreground PSNR"),
  ("Paths through the tokenizer", "ADE"),
  ("Reconstruction", "foreground PSNR"),
  ("Samples of a class", "shape"),
  ("Samples of a class", "motion"),
)
_BETTER = {"higher": "more is better", "lower": "less is better"}
_SHIFT = 3.5  # From line to line, where there are bars.
_MAX_NAMES = 6  # Values that are written below an axis one by one.
_MAX_LETTERS = 48  # Of all of these.
_LOG_RATIO = 10  # Values of a field that span more are logarithmic.
_NOTE = (
  "A line for each setting of the other swept fields, by its mean over seeds; "
  "circles are single runs, bars 95% intervals of the mean over seeds "
  "(Student's t). Where there are no bars there is one seed, and how far "
  "chance moves it is not known."
)
_SCATTER_NOTE = (
  "No line joins points where the other swept fields differ from run to run."
)
_Setting = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class _Score:
  """A score of the runs that have it.

  Attributes:
    title: Table, column and unit.
    direction: What is better.
    by_run: Its value, by name of the run.
  """

  title: str
  direction: Direction
  by_run: dict[str, float]


def section(runs: Sequence[Run], swept: Mapping[str, Mapping[str, str]]) -> str:
  """Returns the plots as HTML.

  Args:
    runs: With their scores.
    swept: Values of the swept fields, by name of a run.
  """
  scores = _scores(runs)
  fields = [
    field
    for field in swept[runs[0].name]
    if field != SEED and len({swept[run.name][field] for run in runs}) > 1
  ]
  if not scores or not fields:
    return say_missing(
      "No field other than the seed has several values in these runs."
      if scores
      else "None of the runs has a headline score."
    )
  parts = [f'<p class="note">{_NOTE} {_SCATTER_NOTE}</p>']
  for field in fields:
    figures = "".join(_figure(field, score, swept) for score in scores)
    parts.append(
      f'<h3>{html.escape(field)}</h3><div class="panels">{figures}</div>'
    )
  return "".join(parts)


def _scores(runs: Sequence[Run]) -> list[_Score]:
  found: dict[tuple[str, str], _Score] = {}
  several = _several_models(runs)
  for run in runs:
    for table in run.tables:
      row = next((row for row in table.rows if row.role == "model"), None)
      for column, cell in zip(
        table.columns, row.cells if row else (), strict=False
      ):
        direction = row and table.direction(column, row)
        if direction in _BETTER and is_finite(cell.value):
          title = table.title
          if title in several and row:
            title = f"{title}, {row.name}"
          score = _Score(f"{title}: {column.heading}", direction, {})
          place = found.setdefault((title, column.name), score)
          place.by_run[run.name] = float(cell.value)
  named = [found[place] for place in _HEADLINES if place in found]
  firsts = {title: score for (title, _), score in reversed(found.items())}
  return named or list(reversed(firsts.values()))


def _several_models(runs: Sequence[Run]) -> set[str]:
  """Titles of tables, but headlines, in which runs have several models.

  Of these the name is told: a score of one is none of another.
  """
  names: dict[str, set[str]] = {}
  for run in runs:
    for table in run.tables:
      models = [row.name for row in table.rows if row.role == "model"]
      names.setdefault(table.title, set()).update(models)
  headlines = {title for title, _ in _HEADLINES}
  return {title for title in names if len(names[title]) > 1} - headlines


def _figure(
  field: str, score: _Score, swept: Mapping[str, Mapping[str, str]]
) -> str:
  known = {name: swept[name] for name in score.by_run}
  texts = sorted({values[field] for values in known.values()}, key=_order)
  numbers = [_number(text) for text in texts]
  is_numeric = all(map(math.isfinite, numbers))
  places = numbers if is_numeric else [float(i) for i in range(len(texts))]
  place = dict(zip(texts, places, strict=True))
  groups: dict[_Setting, dict[float, list[float]]] = {}
  for name, values in known.items():
    others = tuple(
      item for item in values.items() if item[0] not in (field, SEED)
    )
    line = groups.setdefault(others, {})
    line.setdefault(place[values[field]], []).append(score.by_run[name])
  is_log = is_numeric and min(places) > 0
  is_log = is_log and max(places) >= _LOG_RATIO * min(places)
  return line_plots.figure(
    f"{score.title} ({_BETTER[score.direction or '']})",
    _lines(groups),
    f"over {field}",
    x_label=field,
    is_log_x=is_log,
    x_names=_axis_names(place, is_numeric),
  )


def _axis_names(
  place: Mapping[str, float], is_numeric: bool
) -> dict[float, str] | None:
  """What stands below the axis; of many numbers, round ones."""
  if is_numeric and len(place) > _MAX_NAMES:
    return None
  longest = _MAX_LETTERS // len(place)
  return {
    x: text if len(text) <= longest else f"{text[: longest - 1]}…"
    for text, x in place.items()
  }


def _lines(
  groups: Mapping[_Setting, Mapping[float, list[float]]],
) -> list[line_plots.Line]:
  is_joined = len(groups) == 1 or (
    len(groups) <= len(line_plots.COLORS)
    and any(len(line) > 1 for line in groups.values())
  )
  if not is_joined:
    dots = [
      (x, y) for line in groups.values() for x, ys in line.items() for y in ys
    ]
    color = line_plots.COLORS[0]
    return [line_plots.Line("single runs", [], color, dots=tuple(dots))]
  settings = sorted(groups, key=lambda s: [_order(text) for _, text in s])
  return [
    _line(_name(setting), groups[setting], color, _SHIFT * number)
    for number, (setting, color) in enumerate(
      zip(settings, line_plots.COLORS, strict=False)
    )
  ]


def _name(setting: _Setting) -> str:
  parts = [f"{field.split('.')[-1]}={text}" for field, text in setting]
  return ", ".join(parts) or "all"


def _line(
  name: str, line: Mapping[float, list[float]], color: str, shift: float
) -> line_plots.Line:
  xs = sorted(line)
  repeated = {x: line[x] for x in xs if len(line[x]) > 1}
  num = max(map(len, line.values()))
  return line_plots.Line(
    name,
    [(x, statistics.fmean(line[x])) for x in xs],
    color,
    text=f"({num} seeds)" if num > 1 else "(one seed)",
    dots=tuple((x, y) for x, ys in repeated.items() for y in ys),
    bars=tuple((x, *mean_interval(ys)) for x, ys in repeated.items()),
    shift=shift if repeated else 0.0,
  )


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
  """Returns the 95% interval of a mean, of two or more values.

  It is Student's, so it takes them for normal and independent.
  """
  from scipy import stats  # Takes a second to import.

  half = (
    float(stats.t.ppf(0.975, len(values) - 1))
    * statistics.stdev(values)
    / math.sqrt(len(values))
  )
  mean = statistics.fmean(values)
  return mean - half, mean + half


def _number(text: str) -> float:
  """The number that a text is, or NaN."""
  try:
    return float(text)
  except ValueError:
    return math.nan


def _order(text: str) -> tuple[bool, float, str]:
  number = _number(text)
  is_number = math.isfinite(number)
  return (not is_number, number if is_number else 0.0, text)
