"""Processes that write shards, and tell of every scene.

They share two numbers with the process that started them: how many scenes are
done, and whether to stop. A worker looks at the second after each scene.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool

from data_gen import cores
from data_gen.disk import Shard
from data_gen.scene_makers import SceneSet
from data_gen.shard_writer import write_shard

_POLL_S = 0.2
_STOP_S = 30.0  # Most time for the scenes that are being rendered.
_shared = None  # In a worker: the two numbers.


def write_shards(
  options: SceneSet,
  missing: Sequence[Shard],
  report: Callable[[int], None],
  check: Callable[[], None] = lambda: None,
) -> None:
  """Writes shards in this process or in others.

  Args:
    options: Of the data set.
    missing: The shards to write.
    report: Called with numbers of scenes as they are done; 0 is possible.
    check: Raises where the caller was told to stop. It is called after each
      scene, and when a process has ended that the same signal may have ended.

  Raises:
    OSError: A shard cannot be written. Others may be finished by then.
    ValueError: The options allow no scene.
  """

  def note(count: int) -> None:
    check()
    report(count)

  num_workers = min(options.num_workers or cores.available(), len(missing))
  if num_workers == 1:
    for shard in missing:
      write_shard(options, *shard, report=lambda: note(1))
    return
  # Not "fork": the caller may have threads, such as JAX's.
  context = multiprocessing.get_context("spawn")
  num_done, is_stopped = context.Value("q", 0), context.Value("b", 0)
  others = set(multiprocessing.active_children())
  tasks: list[concurrent.futures.Future] = []
  with concurrent.futures.ProcessPoolExecutor(
    num_workers, context, _start_worker, (num_done, is_stopped)
  ) as pool:
    try:
      with _interruptions_put_off():  # Here the processes start.
        for shard in missing:
          tasks.append(pool.submit(_write, options, shard))
      _wait(tasks, num_done, note)
    except BrokenProcessPool as error:
      check()
      raise ChildProcessError(
        "A process that renders ended unexpectedly: killed for its memory, or "
        'started by a script without `if __name__ == "__main__"`. Run the '
        f"same again, with less than --num_workers={num_workers} if memory is "
        "short, or with 1 to render in one process."
      ) from error
    finally:
      is_stopped.get_obj().value = 1
      pool.shutdown(wait=False, cancel_futures=True)
      _wait_for_end(tasks)
      # If a worker dies while others start, the pool forgets to end those, and
      # waits for them.
      for worker in set(multiprocessing.active_children()) - others:
        worker.terminate()


def _wait(tasks, num_done, report) -> None:
  """Reports scenes until all tasks are done; raises what one has raised."""
  num_reported, pending = 0, set(tasks)
  while pending:
    finished, pending = concurrent.futures.wait(
      pending, _POLL_S, concurrent.futures.FIRST_EXCEPTION
    )
    # Without its lock, which a killed worker may hold.
    count = num_done.get_obj().value
    report(count - num_reported)
    num_reported = count
    for task in finished:
      task.result()


def _wait_for_end(tasks) -> None:
  """Waits until workers have ended what they are at, but not for ever."""
  deadline = time.monotonic() + _STOP_S
  # Not `concurrent.futures.wait`, to which cancelled tasks are not done.
  while not all(task.done() for task in tasks) and time.monotonic() < deadline:
    time.sleep(_POLL_S / 10)


class _Stopped(Exception):
  """The rest of a shard is not wanted."""


def _write(options: SceneSet, shard: Shard) -> None:
  write_shard(options, *shard, report=_report)


def _report() -> None:
  num_done, is_stopped = _shared
  with num_done.get_lock():
    num_done.value += 1
  if is_stopped.get_obj().value:
    raise _Stopped


def _start_worker(num_done, is_stopped) -> None:
  global _shared
  _shared = num_done, is_stopped
  # What all processes get is for the one that started them.
  for number in _for_groups():
    signal.signal(number, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends this process when its parent does, which may have been killed."""
  multiprocessing.parent_process().join()
  os._exit(1)


def _for_groups() -> list[signal.Signals]:
  """Signals that terminals and batch systems send to groups of processes.

  Workers are ended by SIGTERM.
  """
  names = ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
  known = signal.Signals.__members__
  return [known[name] for name in names if name in known]


@contextlib.contextmanager
def _interruptions_put_off() -> Iterator[None]:
  """Delays Ctrl-C and SIGTERM while processes start.

  They would otherwise start by halves. They also inherit that Ctrl-C and the
  like are blocked; in the process that starts them, that is not enough, as
  NumPy has threads that take it.
  """
  if threading.current_thread() is not threading.main_thread():
    yield  # Signals are the main thread's.
    return
  held = []
  handlers = {
    number: signal.signal(number, lambda number, frame: held.append(number))
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  has_masks = hasattr(signal, "pthread_sigmask")  # Not on Windows.
  if has_masks:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _for_groups())
  try:
    yield
  finally:
    if has_masks:
      signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in handlers.items():
      signal.signal(number, handler)
    for number in held:
      signal.raise_signal(number)
