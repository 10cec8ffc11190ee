"""A running stage on the screen: a bar on a terminal, else flushed lines."""

import os
import sys

import tqdm

from magvit3d.monitoring import progress
from magvit3d.monitoring.status_files import rate_text

_MAX_SHOWN = 6  # Metrics in a line.
_NOT_SHOWN = ("learning_rate", "steps_per_second")  # The line has the latter.


class Screen:
  """Shows one stage.

  On a terminal (stderr) there is a bar; otherwise one line an interval goes to
  stdout at once, so that a log file of a batch job is never behind.

  Args:
    stage: Name of the stage.
    total_steps: Steps of the whole stage.
    step: Steps done before.
  """

  def __init__(self, stage: str, total_steps: int, step: int):
    self._stage = stage
    self._total_steps = total_steps
    self._bar = None
    if _has_terminal():
      self._bar = tqdm.tqdm(
        desc=stage,
        total=total_steps,
        initial=step,
        file=sys.stderr,
        dynamic_ncols=True,
        # Our rate and time, not those of tqdm, which count the compilation.
        bar_format="{desc} {percentage:3.0f}%|{bar}| {n}/{total}{postfix}",
      )

  def show(self, done: progress.Progress, values: dict[str, float]) -> None:
    """Shows the first of some metrics."""
    shown = [
      f"{name.removeprefix('train/')} {value:.4g}"
      for name, value in values.items()
      if name.rpartition("/")[2] not in _NOT_SHOWN
    ][:_MAX_SHOWN]
    shown += [
      rate_text(done.steps_per_second),
      f"ETA {progress.format_duration(done.remaining_s)}",
    ]
    self.tell(done.step, shown)

  def tell(self, step: int, texts: list[str]) -> None:
    """Shows how many steps are done, and some texts."""
    if self._bar is not None:
      self._bar.set_postfix_str("  ".join(texts), refresh=False)
      self._bar.n = step
      self._bar.refresh()
      return
    share = progress.percent(step, self._total_steps)
    head = f"{self._stage} {step}/{self._total_steps} {share:.1f}%"
    print("  ".join([head, *texts]), flush=True)

  @property
  def has_bar(self) -> bool:
    """Whether what is shown takes the place of what was shown before."""
    return self._bar is not None

  def say(self, line: str) -> None:
    """Prints a line, above the bar if there is one."""
    if self._bar is not None:
      tqdm.tqdm.write(line, file=sys.stderr)
    else:
      print(line, flush=True)

  def close(self) -> None:
    """Leaves the bar as it is."""
    if self._bar is not None:
      self._bar.close()


def _has_terminal() -> bool:
  """Whether a bar can be drawn: some batch systems give 0 x 0 terminals."""
  if not sys.stderr.isatty():
    return False
  try:
    return min(os.get_terminal_size(sys.stderr.fileno())) > 0
  except OSError:  # Something that only acts as a terminal.
    return True
