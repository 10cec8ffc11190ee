"""Shuffled samples as an endless, resumable stream of batches.

Grain (https://github.com/google/grain) shuffles globally: an epoch is a
permutation of the source, another one each time, and epochs follow each other
without a gap. The place in the stream is a number, which goes into the
checkpoint: a resumed run sees the batches it would have seen.

Several hosts share one stream: it is the same however many there are, and is
cut into batches that go to the hosts in turn. So batch i of all hosts, one
after the other in the order of `shard_index`, is batch i of a single host with
a batch as large as all of theirs; no sample is read twice in an epoch.

Threads and processes change when samples are read, and nothing else.
"""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import connection, resource_tracker
from typing import Any

import grain
import numpy as np
from absl import flags

from magvit3d.cli import interruption
from magvit3d.errors import UserError

_BATCHES_PER_WORKER = 2  # That wait in each process.
_DEATH = "terminated unexpectedly"  # What Grain says of it.
_PLACE = "next_index"  # In the state: batches that every host has had.


class Batches(grain.DatasetIterator):
  """See `make_batches`. Close it, or its processes live as long as it does."""

  def __init__(
    self,
    dataset: grain.MapDataset,
    *,
    identity: Mapping[str, Any],
    num_threads: int,
    num_workers: int,
    shard_index: int,
    shard_count: int,
  ):
    """Starts at the first batch; reads nothing yet.

    Args:
      dataset: Batches of all hosts.
      identity: What a state must agree with, JSON-serialisable.
      num_threads: Threads that read ahead, in each process.
      num_workers: Processes that read; 0 for threads of this one.
      shard_index: This host's number.
      shard_count: Hosts.
    """
    super().__init__()
    self._dataset = dataset
    self._identity = dict(identity)
    self._read_options = grain.ReadOptions(
      num_threads=num_threads, prefetch_buffer_size=max(2, num_threads)
    )
    self._num_workers = num_workers
    self._shard_index, self._shard_count = shard_index, shard_count
    self._place = 0
    self._reader: grain.DatasetIterator | None = None

  def __next__(self) -> dict[str, np.ndarray]:
    batch = self._read_by_processes() if self._num_workers else self._read()
    self._place += 1
    return batch

  def _read(self) -> dict[str, np.ndarray]:
    if self._reader is None:
      self._reader = self._open()
    return next(self._reader)

  def _read_by_processes(self) -> dict[str, np.ndarray]:
    is_starting = self._reader is None
    try:
      with _signals_blocked() if is_starting else contextlib.nullcontext():
        shared = self._read()
    except RuntimeError as error:
      if _DEATH not in str(error):
        raise
      raise UserError(
        f"A process that reads training data ended by itself ({error}). If "
        "memory or shared memory (/dev/shm; in Docker --shm-size) is short, "
        "use fewer: num_reading_workers."
      ) from error
    # So that no shared memory is left to somebody else to give back.
    return {key: np.array(value) for key, value in shared.items()}

  def _open(self) -> grain.DatasetIterator:
    if self._closed:
      raise ValueError("These batches are closed.")
    first = self._place * self._shard_count + self._shard_index
    batches = self._dataset[first :: self._shard_count]
    dataset = batches.to_iter_dataset(self._read_options)
    if self._num_workers:
      if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain has flags, with defaults.
      options = grain.MultiprocessingOptions(
        num_workers=self._num_workers,
        per_worker_buffer_size=_BATCHES_PER_WORKER,
      )
      dataset = dataset.mp_prefetch(options, worker_init_fn=_init_worker)
    return iter(dataset)

  def start_prefetch(self) -> None:
    """Does nothing: reading starts with the first batch."""

  def get_state(self) -> dict[str, Any]:
    """Returns the place in the stream, as for JSON; the same on all hosts."""
    return {_PLACE: self._place} | self._identity

  def set_state(self, state: dict[str, Any]) -> None:
    """Goes to a place that `get_state` gave, of whatever threads and processes.

    Raises:
      UserError: The state belongs to another stream.
    """
    differing = [
      f"{key} was {state[key]} and is {value}"
      for key, value in self._identity.items()
      if key in state and state[key] != value
    ]
    if differing:
      raise UserError(
        "The place in the training data was saved with other options, which "
        f"give another order: {'; '.join(differing)}. Use those it was saved "
        "with, or another --workdir."
      )
    self._stop()
    self._place = state[_PLACE]

  def close(self) -> None:
    """Ends threads and processes; there are no further batches."""
    self._stop()
    self._closed = True

  def _stop(self) -> None:
    if self._reader is not None:
      self._reader.close()
      self._reader = None


def make_batches(
  source: Any,
  *,
  batch_size: int,
  seed: int,
  num_threads: int,
  num_workers: int = 0,
  shard_index: int = 0,
  shard_count: int = 1,
  transform: Callable[[dict], dict] | None = None,
) -> Batches:
  """Returns an endless iterator over shuffled batches.

  Args:
    source: Anything with `__len__` and `__getitem__` that gives dicts. If it
      has `random_clip(index, rng)` too, that gives the samples: `rng` depends
      on `seed` and on the sample's place in the stream alone. For worker
      processes it must be possible to pickle it.
    batch_size: Samples of a batch, on this host.
    seed: Determines the order, which changes every epoch.
    num_threads: Threads that read ahead, in each process.
    num_workers: Processes that read and decode; 0 for threads of this one.
      Scripts that use them need `if __name__ == "__main__":`.
    shard_index: Number of this host, in [0, shard_count).
    shard_count: Hosts that share the stream.
    transform: Applied to every batch, where it is read.

  Raises:
    UserError: A batch of all hosts is larger than the source.
    ValueError: Another argument is out of range.
  """
  if min(num_threads, num_workers) < 0 or batch_size < 1:
    raise ValueError(
      f"batch_size={batch_size} must be at least 1, num_threads={num_threads} "
      f"and num_workers={num_workers} at least 0."
    )
  if not 0 <= shard_index < shard_count:
    raise ValueError(
      f"shard_index={shard_index} is not in [0, shard_count={shard_count})."
    )
  if batch_size * shard_count > len(source):
    hosts = f" on each of {shard_count} hosts" if shard_count > 1 else ""
    raise UserError(
      f"batch_size={batch_size}{hosts} is larger than the {len(source)} "
      "training samples there are. Lower it, or bring more data (rendered "
      "scenes: --config.data.num_train)."
    )
  is_random = hasattr(source, "random_clip")
  dataset = (
    grain.MapDataset.source(range(len(source)) if is_random else source)
    .seed(seed)
    .shuffle()
    .repeat()
  )
  if is_random:
    dataset = dataset.random_map(source.random_clip)
  dataset = dataset.batch(batch_size, drop_remainder=True)
  if transform is not None:
    dataset = dataset.map(transform)
  return Batches(
    dataset,
    identity={
      "batch_size of all hosts": batch_size * shard_count,
      "seed": seed,
      "number of samples": len(source),
      "source": _fingerprint(source),
    },
    num_threads=num_threads,
    num_workers=num_workers,
    shard_index=shard_index,
    shard_count=shard_count,
  )


def _fingerprint(source: Any) -> str:
  """Returns a hash of what a source says of itself."""
  is_told = type(source).__repr__ is not object.__repr__
  text = repr(source) if is_told else type(source).__name__  # No address.
  return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
  """Blocks signals to a run in the processes that are started meanwhile.

  They are sent to whole groups of processes. It is for this one to say what
  happens; those that read end when they are told, or when it ends.
  """
  resource_tracker.ensure_running()  # To start it unblocks the signals.
  signals = interruption.numbers()
  old = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _init_worker(index: int, count: int) -> None:
  """Makes a process end with the one that started it, however that ends."""
  del index, count
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  connection.wait([multiprocessing.parent_process().sentinel])
  os._exit(1)
