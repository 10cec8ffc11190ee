"""`python -m magvit3d.tokenize`: records that are whole, and checked."""

import dataclasses
import errno
import json

import chex
import jax
import numpy as np
import pytest
import shrunk

from data_gen import generate
from data_gen.errors import DataError
from data_gen.files import folder_lock
from data_gen.records import shards
from data_gen.records.features import Feature
from data_gen.records.records import decode_scene
from data_gen.records.scene_source import SceneSource
from data_gen.records.tfrecord import TFRecordSource
from data_gen.scenes.options import DatasetOptions
from magvit3d import tokenize
from magvit3d.api import Magvit
from magvit3d.cli import console, jax_setup
from magvit3d.data.token_records import TokenSource
from magvit3d.errors import UserError
from magvit3d.exports import tokens as token_export
from magvit3d.run import token_cache


@pytest.fixture(scope="module")
def magvit(trained_run):
  return Magvit.from_run(trained_run, batch_size=4)


@pytest.fixture
def export(magvit, trained_run, tmp_path, monkeypatch):
  """Exports split test, 12 clips, in three shards."""
  monkeypatch.setattr(token_cache, "_BATCHES_PER_SHARD", 1)

  def call(networks=magvit, output=tmp_path / "tokens", splits=("test",)):
    return token_export.export(networks, trained_run / "data", output, splits)

  return call


def _read(folder):
  manifest = json.loads((folder / "manifest.json").read_text())
  features = {k: Feature.from_json(f) for k, f in manifest["features"].items()}
  paths = [folder / shard["name"] for shard in manifest["shards"]]
  return [decode_scene(record, features) for record in TFRecordSource(paths)]


def test_records_hold_tokens_labels_and_cameras(
  export, magvit, trained_run, tmp_path
):
  (check,) = export().values()
  assert check.equal_share == 1 and check.num_clips == 12
  scenes = SceneSource(trained_run / "data", "test")
  clips = _read(tmp_path / "tokens" / "test")
  assert len(clips) == 12
  num_equal = 0
  for number, clip in enumerate(clips):
    scene = scenes.scene(number // 3)
    assert (clip["scene"], clip["camera"]) == divmod(number, 3)
    assert clip["label"] == scene["class"]
    for key in ("intrinsics", "camera_from_world"):
      np.testing.assert_array_equal(clip[key], scene[key][clip["camera"]])
    tokens = magvit.tokenize(scene["frames"][clip["camera"]])
    num_equal += np.mean(clip["tokens"] == tokens)
  assert num_equal > 0.99 * 12  # Another program may decide ties otherwise.


def test_summary_says_what_was_checked(export, magvit, tmp_path):
  checks = export(splits=("test", "validation"))
  text = (tmp_path / "tokens" / "dataset.json").read_text()
  content = json.loads(text)
  assert content["splits"]["test"] == {
    "num_clips": 12,
    "check": dataclasses.asdict(checks["test"]),
  }
  assert list(content["splits"]) == ["test", "validation"]
  assert content["tasks"] == ["frame_prediction", "full_generation"]
  assert content["codebook_size"] == 32
  scores = checks["test"].scores
  assert scores["tokens read back"] == scores["tokenizer's reconstruction"]
  assert scores["background only"] != scores["tokens read back"]


def test_an_export_goes_on_where_it_stopped(export, tmp_path):
  export()
  folder = tmp_path / "tokens" / "test"
  expected = _read(folder)
  first, second, third = sorted(folder.glob("*.tfrecord"))
  before = shrunk.read_times(folder)
  manifest = json.loads((folder / "manifest.json").read_text())
  manifest.pop("shards")
  (folder / "manifest.partial.json").write_text(json.dumps(manifest))
  (folder / "manifest.json").unlink()
  second.unlink()
  export()
  after = shrunk.read_times(folder)
  assert after[first] == before[first] and after[third] == before[third]
  for one, other in zip(expected, _read(folder), strict=True):
    chex.assert_trees_all_equal(one, other)


def test_a_full_disk_is_told_and_leaves_what_is_whole(
  export, tmp_path, monkeypatch
):
  real = shards.write_shard

  def write(path, records):
    if "00002-of" in path.name:
      raise OSError(errno.ENOSPC, "No space left on device")
    real(path, records)

  with monkeypatch.context() as patch:
    patch.setattr(shards, "write_shard", write)
    with pytest.raises(UserError, match="No space left") as caught:
      export()
  assert "tokenizer_cache" not in str(caught.value)
  folder = tmp_path / "tokens" / "test"
  assert len(list(folder.glob("*.tfrecord"))) == 2
  assert not (tmp_path / "tokens" / "dataset.json").exists()
  export()
  assert len(_read(folder)) == 12


@pytest.fixture
def other_magvit(magvit):
  """Of another tokenizer."""
  params = jax.tree.map(lambda leaf: leaf + 1, magvit.trained.tokenizer_params)
  return Magvit(dataclasses.replace(magvit.trained, tokenizer_params=params))


def test_tokens_of_something_else_stay(export, other_magvit, tmp_path):
  export()
  before = shrunk.read_times(tmp_path / "tokens")
  with pytest.raises(UserError, match="something else than these tokens"):
    export(other_magvit)
  assert shrunk.read_times(tmp_path / "tokens") == before


def test_labels_are_named_as_the_data_set_names_them(
  export, magvit, trained_run, tmp_path
):
  names = SceneSource(trained_run / "data", "test").class_names
  other = dataclasses.replace(magvit.trained, class_names=names[::-1])
  export(Magvit(other))
  content = json.loads((tmp_path / "tokens" / "dataset.json").read_text())
  assert content["class_names"] == list(names)


def test_splits_of_two_tokenizers_are_not_told_as_one(
  export, other_magvit, tmp_path
):
  export()
  before = shrunk.read_times(tmp_path / "tokens")
  with pytest.raises(UserError, match="true of test: tokenizer would be"):
    export(other_magvit, splits=("validation",))
  assert shrunk.read_times(tmp_path / "tokens") == before
  export(splits=("validation",))


def test_a_split_without_clips_is_told(magvit, tmp_path):
  options = DatasetOptions(
    output_dir=str(tmp_path / "data"),
    num_frames=magvit.clip_shape[0],
    image_size=magvit.clip_shape[1],
    size_min=2.0,
    num_train=1,
    num_validation=0,
    num_test=0,
    num_workers=1,
    preview=0,
  )
  generate.generate(options, log=lambda line: None)
  with pytest.raises(UserError, match="has no clips in test"):
    token_export.export(
      magvit, tmp_path / "data", tmp_path / "tokens", ["test"]
    )
  assert not (tmp_path / "tokens").exists()


def test_two_exports_do_not_write_into_one_folder(export, tmp_path):
  folder = tmp_path / "tokens"
  folder.mkdir()
  with (
    folder_lock.held(folder / folder_lock.LOCK_NAME),
    pytest.raises(UserError, match=r"in use by process \d+"),
  ):
    export()
  assert not list(folder.iterdir())


def test_the_check_finds_tokens_of_other_clips(export, monkeypatch):
  """In reverse order: as if records had been mixed up."""
  real = TokenSource.__getitem__
  monkeypatch.setattr(
    TokenSource,
    "__getitem__",
    lambda self, index: real(self, len(self) - 1 - int(index)),
  )
  with pytest.raises(DataError, match="tokens made anew"):
    export()


def test_a_tokenizer_alone_is_enough(export, magvit):
  alone = dataclasses.replace(magvit.trained, transformer_params=None)
  (check,) = export(Magvit(alone, batch_size=4)).values()
  assert check.equal_share == 1


def test_command_prints_the_check(trained_run, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(jax_setup, "set_up", lambda config, workdir: None)
  arguments = [f"--run={trained_run}", f"--output={tmp_path / 'out'}"]
  assert tokenize.main([*arguments, "--splits=test,validation"]) == 0
  text = capsys.readouterr().out
  assert text.count("12 clips read back: 100.00%") == 2
  assert "background only" in text
  assert tokenize.main([*arguments, "--splits=tests"]) == 1
  assert "has no tests; it has train" in capsys.readouterr().err
  assert tokenize.main([*arguments, "--data=/nowhere"]) == 1
  assert "/nowhere" in capsys.readouterr().err
