"""Tests of when a run counts as stalled; no clock but the tests' own."""

import pytest

from magvit3d.monitoring.heartbeat import Heartbeat


def _after_steps(times_s, stall_after_s=100.0, num_first_steps=4):
  heart = Heartbeat(stall_after_s, num_first_steps, 0, 0.0)
  for step, time_s in enumerate(times_s, 1):
    heart.beat(step, float(time_s))
  return heart


def test_quick_steps_leave_the_limit_of_the_config():
  assert _after_steps(range(1, 11)).limit_s() == 100.0


def test_slow_steps_may_take_ten_times_as_long():
  assert _after_steps(range(0, 300, 30)).limit_s() == 300.0


def test_the_first_steps_have_a_longer_limit():
  """Compilation is in the first, and nobody knows yet how long one takes."""
  assert _after_steps([]).limit_s() == 600.0
  assert _after_steps([500, 501, 502]).limit_s() == 600.0
  # Then it is over, and the first step's time is not among the usual ones.
  assert _after_steps([500, 501, 502, 503]).limit_s() == 100.0


def test_steps_that_are_waited_for_together_are_no_stall():
  """A hundred are dispatched at once, and the last one takes 4000 s."""
  times_s = [4000 * (step // 100) + step % 100 * 1e-3 for step in range(1, 301)]
  heart = _after_steps(times_s, num_first_steps=100)
  # Ten mean intervals of 40 s are far less.
  assert heart.limit_s() == pytest.approx(1.5 * 4000, rel=1e-3)


def test_a_stall_is_nothing_usual():
  heart = _after_steps(range(1, 11))
  heart.is_stalled = True
  heart.beat(11, 5000.0)
  heart.is_stalled = False
  heart.beat(12, 5001.0)
  assert heart.limit_s() == 100.0


def test_activities_have_a_longer_limit_and_are_no_steps():
  heart = _after_steps(range(1, 11))
  now_s = [10.0]
  with heart.doing("validation", lambda: now_s[0]):
    assert heart.activity == "validation"
    assert heart.limit_s() == 600.0
    now_s[0] = 510.0
    assert heart.silence_s(now_s[0]) == 500.0
  assert heart.activity == "training"
  assert heart.silence_s(now_s[0]) == 0.0
  assert heart.last_step_s == 10.0  # The age of the last step goes on.
  heart.beat(11, 511.0)
  assert heart.limit_s() == 100.0


def test_activities_within_others_return_to_the_outer_one():
  heart = _after_steps([])
  with heart.doing("a", lambda: 1.0):
    with pytest.raises(ValueError), heart.doing("b", lambda: 2.0):
      raise ValueError
    assert heart.activity == "a"
