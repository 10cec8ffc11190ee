"""Tokens of the training split are made once, as records that are checked."""

import functools
import json
import logging
import pickle
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import shrunk
import small_scenes
import small_tokens
from small_data_sets import hash_files
from small_tokens import make_tokens

from data_gen.errors import DataError
from magvit3d.checkpoints import identity
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import ClipSource, load_clips
from magvit3d.data.token_records import TokenSource
from magvit3d.errors import UserError
from magvit3d.evaluation.transformer_scores import make_tokenize
from magvit3d.parallel import sharding
from magvit3d.run import token_cache

_KEYS = ("tokens", "cond_tokens", "labels")
_compile_once = functools.cache(make_tokenize)


class _InMemory:
  """What the transformer trained on before tokens were kept in records."""

  def __init__(self, arrays):
    self._arrays = arrays

  def __len__(self):
    return len(self._arrays["labels"])

  def __getitem__(self, index):
    return {key: value[index] for key, value in self._arrays.items()}


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
  """Scenes, model, parameters, and tokens made directly, by key."""
  scenes = small_scenes.make(tmp_path_factory.mktemp("data"))
  model = small_tokens.make_model()
  params = small_tokens.make_params(model)
  source = ClipSource(scenes)
  tokenize = _compile_once(model, small_tokens.BATCH_SIZE, sharding.make_mesh())
  clips = load_clips(source, range(len(source)), keys=("frames", "labels"))
  found = tokenize(params, clips)
  return scenes, model, params, {key: getattr(found, key) for key in _KEYS}


@pytest.fixture
def made(monkeypatch):
  """Numbers of clips tokenized by each call; three shards of 12 are 36."""
  monkeypatch.setattr(
    token_cache, "_BATCHES_PER_SHARD", small_tokens.BATCHES_PER_SHARD
  )
  counts = []

  def counting(*arguments):
    tokenize = _compile_once(*arguments)

    def run(params, clips):
      counts.append(len(clips["labels"]))
      return tokenize(params, clips)

    return run

  monkeypatch.setattr(token_cache, "make_tokenize", counting)
  return counts


@pytest.fixture
def folder(tmp_path):
  return tmp_path / "transformer" / "tokens"


@pytest.fixture(scope="module")
def finished(setup, tmp_path_factory):
  scenes, model, params, _ = setup
  folder = tmp_path_factory.mktemp("finished") / "tokens"
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      token_cache, "_BATCHES_PER_SHARD", small_tokens.BATCHES_PER_SHARD
    )
    patch.setattr(token_cache, "make_tokenize", _compile_once)
    make_tokens(folder, scenes, model, params)
  return folder


@pytest.fixture
def kept(finished, folder):
  """A folder of all tokens, for the test to spoil."""
  shutil.copytree(finished, folder)
  return folder


def _shards(folder):
  return sorted(folder.glob("tokens-*.tfrecord"))


def _check(source, wanted):
  assert len(source) == len(wanted["labels"])
  for i in range(len(source)):
    clip = source[i]
    assert list(clip) == list(_KEYS)
    for key, value in clip.items():
      assert value.dtype == wanted[key].dtype == np.int32
      np.testing.assert_array_equal(value, wanted[key][i])


def test_records_are_the_tokens_in_order(setup, made, folder):
  scenes, model, params, wanted = setup
  assert wanted["tokens"].max() > 255  # Else two bytes prove nothing.
  assert (wanted["tokens"][:, None] != wanted["cond_tokens"]).any()
  _check(make_tokens(folder, scenes, model, params), wanted)
  assert made == 6 * [6]


@pytest.mark.variants
@pytest.mark.parametrize(
  ("num_threads", "num_workers"), [(0, 0), (3, 0), (1, 2)]
)
def test_batches_are_those_of_tokens_in_memory(
  setup, made, folder, num_threads, num_workers
):
  scenes, model, params, wanted = setup
  options = dict(batch_size=5, seed=3)
  old = make_batches(_InMemory(wanted), num_threads=0, **options)
  new = make_batches(
    make_tokens(folder, scenes, model, params),
    num_threads=num_threads,
    num_workers=num_workers,
    **options,
  )
  try:
    for _ in range(16):  # Two epochs.
      one, other = next(old), next(new)
      assert list(one) == list(other)
      for key in one:
        assert one[key].dtype == other[key].dtype
        np.testing.assert_array_equal(one[key], other[key])
  finally:
    new.close()
    old.close()


def test_other_readers_find_the_same(setup, kept):
  tf = pytest.importorskip("tensorflow")
  wanted = setup[-1]
  one = tf.io.FixedLenFeature((), tf.string)
  number = tf.io.FixedLenFeature((), tf.int64)
  features = dict(tokens=one, cond_tokens=one)
  features |= dict(label=number, scene=number, camera=number)
  paths = [str(path) for path in _shards(kept)]
  records = list(tf.data.TFRecordDataset(paths))
  assert len(records) == 36
  for i, record in enumerate(records):
    clip = tf.io.parse_single_example(record, features)
    assert (int(clip["scene"]), int(clip["camera"])) == divmod(i, 3)
    assert int(clip["label"]) == wanted["labels"][i]
    for key in ("tokens", "cond_tokens"):
      found = tf.io.decode_raw(clip[key], tf.uint16, little_endian=True)
      np.testing.assert_array_equal(found, wanted[key][i].ravel())


def test_manifest_describes_the_shards(setup, kept):
  manifest = json.loads((kept / "manifest.json").read_text())
  assert manifest["key"] == "a"
  assert manifest["tokenizer"] == identity.fingerprint(setup[2])
  assert manifest["num_clips"] == 36
  assert manifest["features"]["cond_tokens"]["shape"] == [2, 4, 16, 16]
  assert manifest["features"]["cond_tokens"]["dtype"] == "uint16"
  hashes = hash_files(kept)
  described = manifest["shards"]
  assert [shard["num_clips"] for shard in described] == [12, 12, 12]
  for shard in described:
    assert shard["sha256"] == hashes.pop(shard["name"])
    assert shard["bytes"] == (kept / shard["name"]).stat().st_size
    hashes.pop(f"{shard['name']}.index")
  assert set(hashes) == {"manifest.json"}


def test_tokens_under_the_same_key_are_read(setup, made, kept):
  scenes, model, params, wanted = setup
  times = shrunk.read_times(kept)
  _check(make_tokens(kept, scenes, model, params, batch_size=4), wanted)
  assert made == [] and shrunk.read_times(kept) == times


@pytest.mark.variants
@pytest.mark.parametrize(
  ("key", "seed", "batch_size", "message"),
  [
    ("b", 0, 6, "of other data or tasks: made again"),
    ("b", 1, 6, "of another tokenizer: made again"),
    ("b", 0, 4, "of other data or tasks: made again"),
  ],
)
def test_other_tokens_are_made_again(
  setup, made, kept, caplog, key, seed, batch_size, message
):
  scenes, model, *_ = setup
  other = small_tokens.make_params(model, seed)
  with caplog.at_level(logging.INFO):
    source = make_tokens(kept, scenes, model, other, key, batch_size=batch_size)
  assert message in caplog.text
  assert sum(made) == 36 and "key b" in repr(source)
  names = [shard.name for shard in _shards(kept)]
  assert len(names) == 36 // (2 * batch_size) + (batch_size == 4)
  assert len({name[-14:] for name in names}) == 1  # None of the old ones.


def test_damaged_manifest_is_made_again(setup, made, kept, caplog):
  scenes, model, params, wanted = setup
  path = kept / "manifest.json"
  path.write_bytes(path.read_bytes()[:-20])
  with caplog.at_level(logging.INFO):
    _check(make_tokens(kept, scenes, model, params), wanted)
  assert "without a manifest that can be read: made again" in caplog.text


@pytest.mark.variants
@pytest.mark.parametrize(
  "change",
  [
    lambda m: m.update(shards=[]),
    lambda m: m.pop("shards"),
    lambda m: m["shards"].pop(),
    lambda m: m["shards"][0].update(name="../x"),
    lambda m: m.update(shards={"a": 1}),
  ],
)
def test_a_manifest_without_its_shards_is_not_complete(
  setup, made, kept, change
):
  scenes, model, params, wanted = setup
  path = kept / "manifest.json"
  manifest = json.loads(path.read_text())
  change(manifest)
  path.write_text(json.dumps(manifest))
  with pytest.raises(DataError):
    TokenSource(kept, manifest["key"])
  _check(make_tokens(kept, scenes, model, params), wanted)


class _StopError(Exception):
  pass


@pytest.mark.variants
@pytest.mark.parametrize("num_batches", [0, 3, 5])
def test_interrupted_run_continues_to_the_same_bytes(
  setup, made, finished, folder, monkeypatch, num_batches
):
  scenes, model, params, wanted = setup

  def stopping(source, numbers, keys):
    if len(made) == num_batches:
      raise _StopError
    return load_clips(source, numbers, keys)

  with monkeypatch.context() as patch, pytest.raises(_StopError):
    patch.setattr(token_cache, "load_clips", stopping)
    make_tokens(folder, scenes, model, params)
  assert len(_shards(folder)) == num_batches // 2
  assert not (folder / "manifest.json").exists()
  (folder / f"tokens.{'0' * 32}.tmp").touch()  # As a killed process leaves.
  made.clear()
  _check(make_tokens(folder, scenes, model, params), wanted)
  assert len(made) == 6 - num_batches // 2 * 2
  assert hash_files(folder) == hash_files(finished)


def test_run_killed_before_the_manifest_tokenizes_nothing_again(
  setup, made, kept
):
  scenes, model, params, wanted = setup
  manifest = (kept / "manifest.json").read_text()
  header = json.loads(manifest)
  del header["shards"]
  (kept / "manifest.partial.json").write_text(json.dumps(header))
  (kept / "manifest.json").unlink()
  _check(make_tokens(kept, scenes, model, params), wanted)
  assert made == []
  assert (kept / "manifest.json").read_text() == manifest


def test_shards_begun_for_another_key_are_not_kept(setup, made, folder):
  scenes, model, params, wanted = setup
  make_tokens(folder, scenes, model, small_tokens.make_params(model, 1))
  header = json.loads((folder / "manifest.json").read_text())
  del header["shards"]
  (folder / "manifest.partial.json").write_text(json.dumps(header))
  (folder / "manifest.json").unlink()
  _check(make_tokens(folder, scenes, model, params), wanted)


def test_flipped_byte_is_told_with_file_and_record(setup, made, kept):
  scenes, model, params, _ = setup
  hashes = hash_files(kept)
  path = _shards(kept)[1]
  data = bytearray(path.read_bytes())
  data[len(data) // 12 * 5 + 500] ^= 1  # In the sixth of twelve alike.
  path.write_bytes(data)
  source = make_tokens(kept, scenes, model, params)
  source[16]
  with pytest.raises(DataError) as caught:
    source[17]
  assert f"{path} is damaged: the data of record 5" in str(caught.value)
  assert "Delete this shard and run the same command" in str(caught.value)
  path.unlink()
  made.clear()
  make_tokens(kept, scenes, model, params)
  assert made == [6, 6] and hash_files(kept) == hashes


@pytest.mark.parametrize("number", [0, 2])
def test_shard_that_is_cut_off_is_made_again(setup, made, kept, caplog, number):
  scenes, model, params, wanted = setup
  hashes = hash_files(kept)
  path = _shards(kept)[number]
  path.write_bytes(path.read_bytes()[:-1])
  _check(make_tokens(kept, scenes, model, params), wanted)
  assert f"{path} is cut off in record 11" in caplog.text
  assert made == [6, 6] and hash_files(kept) == hashes


def test_hash_of_the_tokenizer_is_checked_on_reading(kept):
  with pytest.raises(DataError, match="no tokens of this tokenizer"):
    TokenSource(kept, "b")
  _shards(kept)[1].unlink()
  with pytest.raises(DataError, match=r"tokens-00001-of-00003.* is missing"):
    TokenSource(kept, "a")


def test_place_in_the_batches_belongs_to_the_key(setup, made, tmp_path):
  scenes, model, params, _ = setup
  states = {}
  for key, name in (("a", "one"), ("a", "moved"), ("b", "one")):
    source = make_tokens(tmp_path / name, scenes, model, params, key)
    source = pickle.loads(pickle.dumps(source))
    batches = make_batches(source, batch_size=4, seed=0, num_threads=0)
    states[key, name] = batches.get_state()
  assert states["a", "one"] == states["a", "moved"]
  assert states["a", "one"]["source"] != states["b", "one"]["source"]


def test_folder_that_cannot_be_written_is_told(setup, folder):
  scenes, model, params, _ = setup
  folder.parent.write_text("A file.")
  message = rf"{folder} cannot .*--config\.tokenizer_cache=False"
  with pytest.raises(UserError, match=message):
    make_tokens(folder, scenes, model, params)


@pytest.mark.slow
def test_two_processes_make_the_tokens_together(setup, made, folder, tmp_path):
  scenes, model, params, wanted = setup
  data_dir = tmp_path / "data"
  small_scenes.make(data_dir)
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    address = f"localhost:{probe.getsockname()[1]}"
  pair = [
    subprocess.Popen(
      [
        *(sys.executable, small_tokens.__file__),
        *(str(data_dir), str(folder), address, str(number)),
      ],
      env=shrunk.make_environment(1),
      stdout=subprocess.PIPE,
      text=True,
    )
    for number in range(2)
  ]
  for number, process in enumerate(pair):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert f"Process {number} reads 36 clips." in output
  _check(make_tokens(folder, scenes, model, params), wanted)
  assert made == []
