"""Batches come in an order that a resumed run continues, however read."""

import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import zlib

import grain
import interruptible
import numpy as np
import pytest
import shrunk
import small_scenes

from data_gen.errors import DataError
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import ClipSource, TrainingClipSource
from magvit3d.data.frame_window import fit_window
from magvit3d.data.scene_clips import TrainingSceneClips, fold_views
from magvit3d.errors import UserError

_COUNT = 12


class _Numbers:
  """A source whose samples are their own numbers."""

  def __init__(self, count=_COUNT):
    self._count = count

  def __len__(self):
    return self._count

  def __getitem__(self, index):
    return {"number": np.int64(index)}

  def __repr__(self):
    return "_Numbers"


class _Draws(_Numbers):
  """Samples are what their generator draws."""

  def random_clip(self, index, rng):
    return {"number": np.int64(index), "draw": rng.integers(2**62)}


def _make(source=None, *, seed=0, batch_size=4, num_threads=2, **options):
  return make_batches(
    source or _Numbers(),
    batch_size=batch_size,
    seed=seed,
    num_threads=num_threads,
    **options,
  )


def _take(batches, count, key="number"):
  return [next(batches)[key].tolist() for _ in range(count)]


# Order.


def test_every_epoch_holds_every_sample_once_in_another_order():
  batches = _make()
  epochs = [np.ravel(_take(batches, _COUNT // 4)).tolist() for _ in range(3)]
  for epoch in epochs:
    assert sorted(epoch) == list(range(_COUNT))
  assert len(set(map(tuple, epochs))) == 3


def test_order_is_that_of_grains_own_shuffle():
  """Runs of earlier versions, without hosts and processes, go on."""
  dataset = grain.MapDataset.source(range(_COUNT)).seed(5).shuffle().repeat()
  expected = [dataset[i] for i in range(40)]
  assert np.ravel(_take(_make(seed=5), 10)).tolist() == expected
  batches = _make(seed=5)
  batches.set_state({"next_index": 7})
  assert np.ravel(_take(batches, 3)).tolist() == expected[28:]


def test_order_depends_on_the_seed_alone():
  assert _take(_make(seed=1), 4) == _take(_make(seed=1), 4)
  assert _take(_make(seed=1), 4) != _take(_make(seed=2), 4)


def test_batch_larger_than_the_data_is_refused():
  with pytest.raises(UserError, match="batch_size=13 is larger than the 12"):
    _make(batch_size=13)
  with pytest.raises(UserError, match="batch_size=5 on each of 3 hosts"):
    _make(batch_size=5, shard_count=3)


@pytest.mark.parametrize(
  "wrong",
  [
    {"num_threads": -1},
    {"num_workers": -1},
    {"batch_size": 0},
    {"shard_index": 2, "shard_count": 2},
    {"shard_index": -1},
    {"shard_count": 0},
  ],
)
def test_numbers_out_of_range_are_named(wrong):
  name, value = next(iter(wrong.items()))
  with pytest.raises(ValueError, match=f"{name}={value}"):
    _make(**wrong)


# Hosts.


@pytest.mark.parametrize("shard_count", [2, 3, 4])
@pytest.mark.parametrize("source", [_Numbers(24), _Draws(24)])
def test_batches_of_all_hosts_in_a_row_are_those_of_one(source, shard_count):
  """What is drawn included; 24 samples are 2 batches of 12."""
  one = _make(source, batch_size=12)
  hosts = [
    _make(
      source,
      batch_size=12 // shard_count,
      shard_index=index,
      shard_count=shard_count,
    )
    for index in range(shard_count)
  ]
  for _ in range(5):
    expected, parts = next(one), [next(host) for host in hosts]
    for key, value in expected.items():
      np.testing.assert_array_equal(
        np.concatenate([part[key] for part in parts]), value
      )
  assert all(host.get_state() == one.get_state() for host in hosts)


@pytest.mark.parametrize(("count", "remainder"), [(24, 0), (29, 5)])
def test_hosts_share_no_sample_of_an_epoch(count, remainder):
  """All but the remainder is in whole batches of this epoch."""
  seen = [
    number
    for index in range(3)
    for number in np.ravel(
      _take(
        _make(_Numbers(count), batch_size=2, shard_index=index, shard_count=3),
        count // 6,
      )
    )
  ]
  assert len(seen) == len(set(seen)) == count - remainder


# Place.


def test_restored_iterator_continues_where_the_saved_one_was():
  batches = _make()
  _take(batches, 4)
  state = batches.get_state()
  wanted = _take(batches, 5)
  other = _make()
  other.set_state(state)
  assert _take(other, 5) == wanted
  other.set_state(state)  # Also one that is reading.
  assert _take(other, 5) == wanted


@pytest.mark.parametrize(
  ("options", "named"),
  [
    ({"batch_size": 3}, "batch_size of all hosts was 4 and is 3"),
    ({"shard_count": 3}, "batch_size of all hosts was 4 and is 12"),
    ({"seed": 1}, "seed was 0 and is 1"),
    ({"source": _Numbers(13)}, "number of samples was 12 and is 13"),
    ({"source": list(range(12))}, "source was .* and is"),
  ],
)
def test_place_in_another_stream_is_refused(options, named):
  state = _make().get_state()
  with pytest.raises(UserError, match=named):
    _make(**options).set_state(state)


def test_place_fits_another_number_of_hosts_and_threads():
  state = _make().get_state()
  _make(batch_size=2, shard_count=2, num_threads=0).set_state(state)


def test_closed_batches_give_no_more():
  batches = _make()
  next(batches)
  batches.close()
  with pytest.raises(ValueError, match="closed"):
    next(batches)


# Samples of scenes, and processes.


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
  return small_scenes.make(tmp_path_factory.mktemp("data"))


def _assert_same(found, expected):
  assert found.keys() == expected.keys()
  for key, value in expected.items():
    assert found[key].dtype == value.dtype
    np.testing.assert_array_equal(found[key], value)


_SOURCES = {
  "clips": (ClipSource, (), {}),
  "windows": (TrainingClipSource, (fit_window(8, 3, 2),), {"shard_count": 2}),
  "scenes": (TrainingSceneClips, (2, fit_window(8, 4)), {}),
  "folded": (
    TrainingSceneClips,
    (None, fit_window(8, 4)),
    {"transform": fold_views, "shard_index": 1, "shard_count": 2},
  ),
}


@pytest.mark.variants
@pytest.mark.parametrize(
  ("kind", "num_workers"),
  [("clips", 2), ("windows", 1), ("scenes", 2), ("folded", 0)],
)
def test_threads_and_processes_change_nothing_nor_does_a_restart(
  scenes, kind, num_workers
):
  make, arguments, options = _SOURCES[kind]
  source = make(scenes, *arguments)
  plain = _make(source, num_threads=0, **options)
  reading = _make(source, num_threads=2, num_workers=num_workers, **options)
  try:
    for _ in range(7):
      _assert_same(next(reading), next(plain))
    state = json.loads(json.dumps(reading.get_state()))
    wanted = [next(plain) for _ in range(3)]
    reading.set_state(state)
    restored = _make(source, num_threads=1, **options)
    restored.set_state(state)
    for batch in wanted:
      _assert_same(next(reading), batch)
      _assert_same(next(restored), batch)
  finally:
    reading.close()
  assert not multiprocessing.active_children()


def test_damage_met_in_a_process_is_told_as_such(tmp_path):
  scenes = small_scenes.make(tmp_path)
  for path in tmp_path.glob("*tfrecord*of-*[0-9]"):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
  batches = _make(ClipSource(scenes), num_workers=1)
  try:
    with pytest.raises(DataError, match="damaged"):
      _take(batches, 40, "labels")
  finally:
    batches.close()


def test_process_that_is_killed_is_told(scenes):
  batches = _make(ClipSource(scenes), num_workers=1)
  try:
    next(batches)
    (process,) = multiprocessing.active_children()
    process.kill()
    with pytest.raises(UserError, match="num_reading_workers"):
      for _ in range(9):
        next(batches)
  finally:
    batches.close()


# Programs that read by processes.

_PROGRAM = """
import multiprocessing, sys, zlib
from data_gen.records.scene_source import SceneSource
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import ClipSource

def main():
  source = ClipSource(SceneSource(sys.argv[1], "train"))
  batches = make_batches(
    source, batch_size=4, seed=0, num_threads=1, num_workers=2
  )
  print(*[zlib.crc32(next(batches)["frames"]) for _ in range(5)])
  pids = [child.pid for child in multiprocessing.active_children()]
  try:
    print(*pids, flush=True)
    while "wait" in sys.argv:
      next(batches)
  except KeyboardInterrupt:
    print("interrupted", next(batches)["frames"].shape)

if __name__ == "__main__":
  main()
"""


def _start(tmp_path, *arguments):
  (tmp_path / "reader.py").write_text(_PROGRAM)
  environment = shrunk.make_environment()
  environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
  return interruptible.start(
    [sys.executable, "-m", "reader", *map(str, arguments)],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    start_new_session=True,
  )


def _is_running(pid):
  try:
    status = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return False
  return status.rpartition(")")[2].split()[0] != "Z"


def _wait_for_end(pids):
  deadline = time.monotonic() + 60
  while any(map(_is_running, pids)):
    assert time.monotonic() < deadline, "Processes are left."
    time.sleep(0.05)


@pytest.mark.variants
@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="no /proc")
@pytest.mark.parametrize("ending", ["end", "ctrl-c", "kill"])
def test_processes_end_with_the_program(tmp_path, ending):
  data_dir = tmp_path / "data"
  source = ClipSource(small_scenes.make(data_dir))
  program = _start(tmp_path, data_dir, *["wait"] * (ending != "end"))
  try:
    checks = [int(word) for word in program.stdout.readline().split()]
    pids = [int(word) for word in program.stdout.readline().split()]
    assert len(pids) == 2
    if ending == "ctrl-c":
      os.killpg(program.pid, signal.SIGINT)
    elif ending == "kill":
      program.kill()
    output, errors = program.communicate(timeout=60)
  finally:
    program.kill()
    program.wait()
  _wait_for_end(pids)
  expected = _make(source, num_threads=0)
  assert checks == [zlib.crc32(next(expected)["frames"]) for _ in range(5)]
  if ending != "kill":
    assert program.returncode == 0 and errors == ""
    # The processes have not heard of it: there are further batches.
    assert ("interrupted (4, 8, 32, 32, 3)" in output) == (ending == "ctrl-c")
