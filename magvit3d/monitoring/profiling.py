"""Traces of some steps, for `--profile_steps=A:B`.

A trace is read by TensorBoard's profile plugin, xprof or Perfetto.
"""

import dataclasses
import pathlib
import re
from types import TracebackType

import jax
from absl import logging
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.files import work_folder


@dataclasses.dataclass(frozen=True)
class StepSpan:
  """Steps `first` to `last`, both included; the first of a stage is 1."""

  first: int
  last: int


def parse_span(text: str | None) -> StepSpan | None:
  """Reads `--profile_steps`; None or "" is no span.

  Raises:
    UserError: It is not A:B with 1 <= A <= B.
  """
  if not text:
    return None
  numbers = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text, re.ASCII)
  if not numbers:
    raise UserError(
      f"--profile_steps={text!r} is not of the form A:B, such as "
      "--profile_steps=10:14 for the steps 10 to 14."
    )
  span = StepSpan(int(numbers[1]), int(numbers[2]))
  if not 1 <= span.first <= span.last:
    raise UserError(
      f"--profile_steps={text!r}: steps count from 1, and the last one is not "
      "before the first; such as --profile_steps=10:14."
    )
  return span


class Profiler:
  """Writes one trace into `folder`; a context manager that closes it.

  A run that is resumed inside the span traces what is left of it; one that
  ends inside closes the trace there.

  Args:
    span: Steps to trace; None: none.
    folder: Made when the trace is written, usually WORKDIR/STAGE/profile.
  """

  def __init__(self, span: StepSpan | None, folder: pathlib.Path):
    self._span = span
    self._folder = folder
    self._is_tracing = False

  def __enter__(self) -> "Profiler":
    return self

  def __exit__(
    self,
    error_type: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    del error_type, error, traceback
    self.close()

  def before_step(self, step: int) -> None:
    """Called before step `step` is dispatched; the first of a stage is 1."""
    span = self._span
    if span and not self._is_tracing and span.first <= step <= span.last:
      work_folder.make_folder(self._folder)
      jax.profiler.start_trace(str(self._folder))
      self._is_tracing = True

  def after_step(self, step: int, state: PyTree) -> None:
    """Called after step `step` was dispatched.

    Ends the trace after the last step of the span, once the device has done it.

    Args:
      step: As for `before_step`.
      state: What the step returned.
    """
    if self._is_tracing and step >= self._span.last:
      jax.block_until_ready(state)
      self.close()

  def close(self) -> None:
    """Ends the trace, if one is being written."""
    if self._is_tracing:
      self._is_tracing = False
      jax.profiler.stop_trace()
      logging.info("Trace of steps: %s.", self._folder)
