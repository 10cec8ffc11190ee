"""Tests of the rate and remaining time of a stage."""

import pytest

from magvit3d.monitoring import progress


def test_the_rate_follows_a_machine_that_becomes_slower():
  meter = progress.Progress(total_steps=10_000, first_step=0)
  for step in range(1000):
    meter.update(step, float(step))
  for step in range(1000, 1100):
    meter.update(step, 999 + 4.0 * (step - 999))
  assert meter.steps_per_second == pytest.approx(0.25)


@pytest.mark.parametrize(
  "seconds, text",
  [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (360000, "100:00:00")],
)
def test_a_duration_is_hours_minutes_and_seconds(seconds, text):
  assert progress.format_duration(float(seconds)) == text
