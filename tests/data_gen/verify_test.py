"""Damage anywhere in a data set is named."""

import json
import shutil
import subprocess
import sys

import pytest
from small_data_sets import ROOT, make_options

from data_gen.errors import DataError
from data_gen.generate import generate
from data_gen.records import shards, tfrecord
from data_gen.records.scene_source import SceneSource
from data_gen.verify import verify

FORMATS = ["tfrecord", "array_record", "npz"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
  for name, folder in folders.items():
    options = make_options(folder, file_format=name, preview=0)
    generate(options, log=lambda line: None)
  return folders


@pytest.fixture
def copies(made, tmp_path):
  return {
    name: shutil.copytree(folder, tmp_path / name)
    for name, folder in made.items()
  }


def _flip(path, position):
  data = bytearray(path.read_bytes())
  data[position] ^= 1
  path.write_bytes(data)


def _shard(folder, number):
  return folder / make_options(folder, file_format=folder.name).shard_name(
    "train", number
  )


def _run(folder):
  return subprocess.run(
    [sys.executable, "-m", "data_gen.verify", f"--data={folder}"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize("file_format", FORMATS)
def test_undamaged_set_gets_a_line_a_split(made, file_format):
  lines = []
  verify(made[file_format], lines.append)
  assert [line.split(",")[0] for line in lines] == [
    "train: 26 scenes in 5 shards",
    "validation: 5 scenes in 1 shards",
    "test: 0 scenes in 0 shards",
  ]


def test_flipped_byte_of_a_tfrecord_is_named_by_record_and_offset(copies):
  path = _shard(copies["tfrecord"], 2)
  offsets, _ = shards.decode_index(shards.index_path(path).read_bytes())
  _flip(path, offsets[3] + 1000)
  where = f"data of record 3, which starts at byte {offsets[3]},"
  found = _run(copies["tfrecord"])
  assert found.returncode == 1
  assert str(path) in found.stderr and where in found.stderr
  assert "Traceback" not in found.stderr
  source = SceneSource(copies["tfrecord"], "train")
  with pytest.raises(DataError, match=where):
    source.scene(2 * 6 + 3)
  for index in (0, 2 * 6 + 2, 2 * 6 + 4, 25):
    source.scene(index)


def test_flipped_byte_of_an_array_record_is_named_by_record(copies):
  path = _shard(copies["array_record"], 2)
  # Records of this size are within the first block, in order.
  _flip(path, path.read_bytes().index(b"IDAT", 9000))
  with pytest.raises(DataError, match=r"record \d .*at byte \d+") as caught:
    verify(copies["array_record"])
  assert str(path) in str(caught.value)
  source = SceneSource(copies["array_record"], "train")
  failed = []
  for index in range(len(source)):
    try:
      source.scene(index)
    except DataError:
      failed.append(index)
  assert len(failed) == 1 and failed[0] // 6 == 2


def test_flipped_byte_of_an_archive_is_named_by_array(copies):
  path = _shard(copies["npz"], 2)
  _flip(path, 300)
  with pytest.raises(
    DataError, match=r"multi_view_videos, .* byte 0"
  ) as caught:
    verify(copies["npz"])
  assert str(path) in str(caught.value)


@pytest.mark.parametrize("file_format", FORMATS)
def test_shard_of_another_data_set_is_found_by_its_hash(copies, file_format):
  folder = copies[file_format]
  path = folder / "manifest.json"
  content = json.loads(path.read_text())
  content["splits"]["train"]["shards"][1]["sha256"] = "0" * 64
  path.write_text(json.dumps(content))
  with pytest.raises(DataError, match="another SHA-256") as caught:
    verify(folder)
  assert str(_shard(folder, 1)) in str(caught.value)


def test_missing_shard_and_cut_off_shard_are_named(copies):
  path = _shard(copies["tfrecord"], 4)
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(DataError, match=f"{path} has .* bytes"):
    verify(copies["tfrecord"])
  path.unlink()
  with pytest.raises(DataError, match=f"{path} is missing"):
    verify(copies["tfrecord"])


@pytest.mark.parametrize("damage", ["missing", "flipped", "of another shard"])
def test_bad_index_is_named(copies, damage):
  path = _shard(copies["tfrecord"], 1)
  index = shards.index_path(path)
  if damage == "missing":
    index.unlink()
  elif damage == "flipped":
    _flip(index, 30)
  else:
    other = _shard(copies["tfrecord"], 0)
    index.write_bytes(shards.index_path(other).read_bytes())
  with pytest.raises(DataError, match=f"{index} is missing, damaged or of"):
    verify(copies["tfrecord"])


def test_wrong_number_of_records_is_named(copies):
  path = _shard(copies["tfrecord"], 0)
  with pytest.raises(DataError, match="has 6 records, but 7 were expected"):
    tfrecord.check_shard(path, 7)


def test_folder_without_a_data_set_is_one_sentence(tmp_path):
  found = _run(tmp_path)
  assert found.returncode == 1
  assert "manifest.json cannot be read" in found.stderr
  assert "Traceback" not in found.stderr
