"""ArrayRecord shards: read by their own library, and damage is located."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from small_data_sets import ROOT

from data_gen.errors import DataError
from data_gen.records import array_records
from data_gen.records.array_records import ArrayRecordSource

module = pytest.importorskip("array_record.python.array_record_module")

RECORDS = [bytes([i]) * (i * 37_000) for i in range(10)]
COUNTS = [6, 4]


@pytest.fixture
def paths(tmp_path):
  paths = [tmp_path / "part-0", tmp_path / "part-1"]
  array_records.write_shard(paths[0], RECORDS[:6])
  array_records.write_shard(paths[1], RECORDS[6:])
  return paths


def test_library_reads_what_was_written(paths):
  reader = module.ArrayRecordReader(str(paths[0]))
  assert reader.read_all() == RECORDS[:6]
  options = reader.writer_options_string()
  assert "group_size:1," in options and "uncompressed" in options
  reader.close()


def test_records_are_read_in_any_order(paths):
  opened = ArrayRecordSource(paths, COUNTS)
  for source in (opened, pickle.loads(pickle.dumps(opened))):
    assert len(source) == 10
    for number in np.random.default_rng(0).permutation(10):
      assert source[number] == RECORDS[number]
  with pytest.raises(IndexError):
    source[10]


def test_bytes_are_the_same_every_time(paths, tmp_path):
  array_records.write_shard(tmp_path / "again", RECORDS[:6])
  assert (tmp_path / "again").read_bytes() == paths[0].read_bytes()


def test_size_is_foreseen(paths):
  data_bytes = sum(map(len, RECORDS[:6]))
  overhead = 6 * array_records.RECORD_OVERHEAD_BYTES
  expected = array_records.file_bytes(data_bytes + overhead)
  assert paths[0].stat().st_size == expected


def test_flipped_byte_is_found_and_located(paths):
  data = bytearray(paths[0].read_bytes())
  data[data.index(RECORDS[4][:1000]) + 500] ^= 4
  paths[0].write_bytes(data)
  source = ArrayRecordSource(paths, COUNTS)
  message = r"part-0 is damaged: record 4 .*at byte \d+.*python -m data_gen"
  with pytest.raises(DataError, match=message):
    source[4]
  for number in (0, 3, 5, 6, 9):
    assert source[number] == RECORDS[number]


@pytest.mark.parametrize("damage", ["missing", "cut off", "another"])
def test_shard_that_is_not_the_one_is_named(paths, damage):
  if damage == "missing":
    paths[0].unlink()
  elif damage == "cut off":
    paths[0].write_bytes(paths[0].read_bytes()[:-5])
  else:
    paths[0].write_bytes(paths[1].read_bytes())
  source = ArrayRecordSource(paths, COUNTS)
  with pytest.raises(DataError, match=r"part-0 .*python -m data_gen"):
    source[0]
  assert source[6] == RECORDS[6]


def test_failure_while_writing_leaves_nothing(tmp_path):
  def records():
    yield RECORDS[1]
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    array_records.write_shard(tmp_path / "part", records())
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_only_array_record_needs_its_package(tmp_path, file_format):
  program = (
    "import sys, runpy\n"
    "sys.modules['array_record'] = None\n"
    f"sys.argv = ['data_gen', '--output_dir={tmp_path}', '--num_train=2',"
    f" '--num_validation=0', '--num_test=0', '--image_size=32',"
    f" '--num_workers=1', '--file_format={file_format}']\n"
    "runpy.run_module('data_gen', run_name='__main__')"
  )
  found = subprocess.run(
    [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
  )
  if file_format == "tfrecord":
    assert found.returncode == 0, found.stderr
  else:
    assert found.returncode == 1
    assert "pip install array_record" in found.stderr
    assert "Traceback" not in found.stderr
    assert not list(tmp_path.iterdir())
