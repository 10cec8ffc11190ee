"""Tests of the watchdog's thread, paced by the tests and not by time."""

import queue
import threading

from magvit3d.monitoring import watchdog


class _Pace:
  """A wait that lasts until the test says so."""

  def __init__(self):
    self.intervals = queue.Queue()
    self._steps = queue.Queue()

  def __call__(self, event, interval_s):
    self.intervals.put(interval_s)
    self._steps.get(timeout=30)
    return event.is_set()

  def next(self):
    self._steps.put(None)


def test_it_checks_after_each_wait_until_it_is_stopped():
  pace, checks = _Pace(), queue.Queue()
  dog = watchdog.Watchdog(lambda: checks.put(1), 7.0, pace)
  assert pace.intervals.get(timeout=30) == 7.0
  assert checks.empty()
  for _ in range(2):
    pace.next()
    checks.get(timeout=30)
    pace.intervals.get(timeout=30)
  stopper = threading.Thread(target=dog.stop)
  stopper.start()
  dog._stopped.wait(30)
  pace.next()
  stopper.join(30)
  assert not dog._thread.is_alive()
  assert checks.empty()


def test_stopping_ends_a_wait_at_once():
  dog = watchdog.Watchdog(lambda: None, 1e6)
  assert dog._thread.daemon  # It keeps no process alive.
  dog.stop()
  assert not dog._thread.is_alive()


def test_a_check_may_stop_it():
  pace = _Pace()
  dogs = queue.Queue()
  dog = watchdog.Watchdog(lambda: dogs.get(timeout=30).stop(), 1.0, pace)
  dogs.put(dog)
  pace.next()
  pace.next()
  dog._thread.join(30)
  assert not dog._thread.is_alive()


def test_the_main_thread_is_described_first():
  release, is_up = threading.Event(), threading.Event()

  def wait_for_the_disk():
    is_up.set()
    release.wait(30)

  other = threading.Thread(target=wait_for_the_disk, name="a-writer")
  other.start()
  is_up.wait(30)
  found = []
  looker = threading.Thread(
    target=lambda: found.append(watchdog.describe_threads())
  )
  looker.start()
  looker.join(30)
  release.set()
  other.join(30)
  assert found[0].startswith("Thread MainThread")
  assert "test_the_main_thread_is_described_first" in found[0]
  assert "a-writer" in found[0] and "wait_for_the_disk" in found[0]
