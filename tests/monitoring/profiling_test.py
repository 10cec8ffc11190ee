"""Tests of `--profile_steps`, on a tiny program."""

import jax
import jax.numpy as jnp
import pytest

from magvit3d.errors import UserError
from magvit3d.monitoring import profiling


def _traces(folder):
  return list(folder.rglob("*.xplane.pb"))


def _steps(profiler, first, last):
  """Runs steps; yields each number after it is done."""
  step_function = jax.jit(lambda x: jnp.sin(x) + 1)
  state = jnp.zeros(4)
  for step in range(first, last + 1):
    profiler.before_step(step)
    state = step_function(state)
    profiler.after_step(step, state)
    yield step


def test_the_trace_is_there_after_its_last_step(tmp_path):
  folder = tmp_path / "profile"
  span = profiling.parse_span("2:3")
  with profiling.Profiler(span, folder) as profiler:
    for step in _steps(profiler, 1, 5):
      if step == 1:
        assert not folder.exists()
      assert len(_traces(folder)) == (1 if step >= 3 else 0)
  assert len(_traces(folder)) == 1
  assert _traces(folder)[0].stat().st_size > 0


@pytest.mark.parametrize("first, last", [(1, 2), (3, 5)])
def test_a_run_inside_the_span_traces_its_part(tmp_path, first, last):
  """It ends before the span does, or is resumed within it."""
  span = profiling.StepSpan(2, 4)
  with profiling.Profiler(span, tmp_path) as profiler:
    for _ in _steps(profiler, first, last):
      pass
  assert len(_traces(tmp_path)) == 1


def test_a_failing_run_closes_its_trace(tmp_path):
  with pytest.raises(ValueError, match="the loss"):
    with profiling.Profiler(profiling.StepSpan(1, 9), tmp_path) as profiler:
      next(_steps(profiler, 1, 9))
      raise ValueError("the loss is NaN")
  assert len(_traces(tmp_path)) == 1


@pytest.mark.parametrize("span", [None, profiling.StepSpan(7, 9)])
def test_without_steps_in_the_span_nothing_is_written(tmp_path, span):
  with profiling.Profiler(span, tmp_path / "profile") as profiler:
    for _ in _steps(profiler, 1, 3):
      pass
  assert list(tmp_path.iterdir()) == []


def test_spans_are_read():
  assert profiling.parse_span("10:14") == profiling.StepSpan(10, 14)
  assert profiling.parse_span("3:3") == profiling.StepSpan(3, 3)
  assert profiling.parse_span(None) is profiling.parse_span("") is None


@pytest.mark.parametrize("text", ["5", "a:b", "1:2:3", "-1:4", "1.5:3", ":"])
def test_what_is_no_span_names_the_flag(text):
  with pytest.raises(
    UserError, match=rf"--profile_steps='{text}' is not .*A:B"
  ):
    profiling.parse_span(text)


@pytest.mark.parametrize("text", ["0:3", "5:4"])
def test_a_span_that_cannot_be_names_the_flag(text):
  with pytest.raises(UserError, match=f"--profile_steps='{text}': steps count"):
    profiling.parse_span(text)
