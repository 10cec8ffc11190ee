"""Random access to shards, and what is said when they are damaged."""

import pickle
import threading

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.records import shards
from data_gen.records.tfrecord import TFRecordSource

RECORDS = [bytes([i]) * (i * 37) for i in range(10)]
COUNTS = [6, 4]
# Of record 4, which follows those of 0, 37, 74 and 111 bytes.
START_OF_4 = 4 * 16 + 37 + 74 + 111


@pytest.fixture
def paths(tmp_path):
  paths = [tmp_path / "part-0", tmp_path / "part-1"]
  shards.write_shard(paths[0], RECORDS[:6])
  shards.write_shard(paths[1], RECORDS[6:])
  return paths


def _check_all(source, numbers=range(10)):
  for number in numbers:
    assert source[number] == RECORDS[number]


@pytest.mark.parametrize("counts", [None, COUNTS])
def test_records_are_read_in_any_order(paths, counts):
  source = TFRecordSource(paths, counts)
  assert len(source) == 10
  _check_all(source, np.random.default_rng(0).permutation(10))
  with pytest.raises(IndexError):
    source[10]


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_lost_index_is_replaced_by_a_scan(paths, damage):
  index = shards.index_path(paths[0])
  if damage == "missing":
    index.unlink()
  else:
    data = bytearray(index.read_bytes())
    data[30] ^= 1
    index.write_bytes(data)
  _check_all(TFRecordSource(paths))


def test_pickled_source_reads_the_same(paths):
  source = TFRecordSource(paths, COUNTS)
  _check_all(source)
  _check_all(pickle.loads(pickle.dumps(source)))


def test_threads_read_what_they_asked_for(paths):
  source = TFRecordSource(paths, COUNTS)
  failures = []

  def read(seed):
    for number in np.random.default_rng(seed).integers(0, 10, 300):
      if source[number] != RECORDS[number]:
        failures.append(number)

  threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not failures


@pytest.mark.parametrize(
  ("byte", "part"),
  [(0, "length"), (9, "length"), (12, "data"), (100, "data"), (161, "data")],
)
@pytest.mark.parametrize("has_index", [True, False])
def test_flipped_byte_is_found_and_located(paths, byte, part, has_index):
  data = bytearray(paths[0].read_bytes())
  data[START_OF_4 + byte] ^= 4
  paths[0].write_bytes(data)
  if not has_index:
    shards.index_path(paths[0]).unlink()
  source = TFRecordSource(paths, COUNTS)
  message = f"part-0 is damaged: the {part} of record 4, .*byte {START_OF_4}"
  with pytest.raises(DataError, match=message):
    source[4]
  _check_all(source, [6, 7, 8, 9])
  if has_index:
    _check_all(source, [0, 3, 5])


@pytest.mark.parametrize("kept", [5, 12, 100, 163])
@pytest.mark.parametrize("has_index", [True, False])
def test_cut_off_shard_is_located(paths, kept, has_index):
  paths[0].write_bytes(paths[0].read_bytes()[: START_OF_4 + kept])
  if not has_index:
    shards.index_path(paths[0]).unlink()
  source = TFRecordSource(paths, COUNTS)
  message = f"part-0 is cut off in record 4, .*byte {START_OF_4}.*data_gen"
  with pytest.raises(DataError, match=message):
    source[4]
  _check_all(source, [6, 7, 8, 9])


def test_missing_shard_is_named_and_others_stay_readable(paths):
  paths[0].unlink()
  source = TFRecordSource(paths, COUNTS)
  with pytest.raises(DataError, match=r"part-0 .*python -m data_gen"):
    source[2]
  _check_all(source, [6, 9])


def test_masked_check_is_that_of_the_format():
  # CRC32C of 32 zero bytes is 0x8A9136AA (RFC 3720, B.4).
  rotated = (0x8A9136AA >> 15) | (0x8A9136AA << 17) & 0xFFFFFFFF
  expected = (rotated + 0xA282EAD8) % 2**32
  assert shards.masked_crc32c(bytes(32)) == expected
