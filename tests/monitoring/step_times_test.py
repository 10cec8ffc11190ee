"""Tests of step times, with a clock that the tests move."""

import pytest

from magvit3d.monitoring.step_times import StepTimes


class _Clock:
  def __init__(self):
    self.now_s = 50.0

  def __call__(self):
    return self.now_s


@pytest.fixture
def clock():
  return _Clock()


def _step(times, clock, reading_s, computing_s):
  with times.reading():
    clock.now_s += reading_s
  clock.now_s += computing_s
  times.step_done()


def test_times_are_means_over_the_interval(clock):
  times = StepTimes(clock)
  _step(times, clock, 1.0, 2.0)
  _step(times, clock, 0.0, 5.0)
  assert times.take() == {"step_time_s": 4.0, "data_wait_share": 0.125}


def test_taking_begins_the_next_interval(clock):
  times = StepTimes(clock)
  _step(times, clock, 3.0, 3.0)
  times.take()
  _step(times, clock, 0.0, 2.0)
  assert times.take() == {"step_time_s": 2.0, "data_wait_share": 0.0}


def test_pauses_are_no_part_of_steps(clock):
  times = StepTimes(clock)
  _step(times, clock, 1.0, 1.0)
  with times.pausing():
    clock.now_s += 100.0
  assert times.take() == {"step_time_s": 2.0, "data_wait_share": 0.5}


def test_clips_and_tokens_are_rates_over_the_interval(clock):
  times = StepTimes(clock, {"clips": 6, "tokens": 60})
  _step(times, clock, 1.0, 2.0)
  _step(times, clock, 0.0, 1.0)
  rates = times.take()
  assert (rates["clips_per_second"], rates["tokens_per_second"]) == (3.0, 30.0)


def test_reading_that_fails_is_timed_too(clock):
  times = StepTimes(clock)
  with pytest.raises(StopIteration), times.reading():
    clock.now_s += 4.0
    raise StopIteration
  times.step_done()
  assert times.take()["data_wait_share"] == 1.0


def test_an_interval_without_steps_or_time_has_no_metrics(clock):
  times = StepTimes(clock)
  clock.now_s += 1.0
  assert times.take() == {}
  times.step_done()
  assert times.take() == {}
