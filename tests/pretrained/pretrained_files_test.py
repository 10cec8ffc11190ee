"""Trained networks in a folder of their own: exact, complete, checked."""

import dataclasses
import json
import re
import shutil

import chex
import jax
import numpy as np
import pytest
import safetensors.numpy

from magvit3d.api import Magvit
from magvit3d.checkpoints import identity
from magvit3d.errors import UserError
from magvit3d.exports.opened_models import open_model
from magvit3d.parallel import sharding
from magvit3d.pretrained import files
from magvit3d.run import record


@pytest.fixture(scope="module")
def magvit(trained_run):
  return Magvit.from_run(trained_run, batch_size=2)


@pytest.fixture(scope="module")
def exported(magvit, tmp_path_factory):
  folder = tmp_path_factory.mktemp("exports") / "small"
  magvit.save_pretrained(folder)
  return folder


@pytest.fixture
def copy(exported, tmp_path):
  return shutil.copytree(exported, tmp_path / "copy")


def _weights(folder):
  (path,) = folder.glob("*.safetensors")
  return path


def _edit_config(folder, change):
  """Changes config.json, and seals it again."""
  path = folder / "config.json"
  content = json.loads(path.read_text())
  content.pop("sha256")
  change(content)
  content["sha256"] = identity.key_of(content)
  path.write_text(json.dumps(content))


def _refused(folder, *texts):
  with pytest.raises(UserError) as caught:
    Magvit.from_pretrained(folder)
  for text in texts:
    assert str(text) in str(caught.value)


def test_what_was_saved_computes_the_same_bits(magvit, exported):
  other = Magvit.from_pretrained(exported, batch_size=2)
  clips = np.random.default_rng(0).integers(0, 256, (2, *magvit.clip_shape))
  clips = clips.astype(np.uint8)
  tokens = magvit.tokenize(clips)
  np.testing.assert_array_equal(other.tokenize(clips), tokens)
  floats = magvit.detokenize(tokens, dtype=np.float32)
  again = other.detokenize(tokens, dtype=np.float32)
  np.testing.assert_array_equal(again, floats)
  one = magvit.generate("cone", seed=1, num=2)
  np.testing.assert_array_equal(other.generate("cone", seed=1, num=2), one)
  for field in dataclasses.fields(magvit.trained):
    found = getattr(other.trained, field.name)
    wanted = getattr(magvit.trained, field.name)
    if field.name == "rig":
      np.testing.assert_array_equal(found.intrinsics, wanted.intrinsics)
      np.testing.assert_array_equal(
        found.camera_from_world, wanted.camera_from_world
      )
      assert found.image_size == wanted.image_size
    elif field.name == "data":
      assert found == wanted and found["image_size"] == 24
    elif field.name not in (
      "config",
      "tokenizer_params",
      "transformer_params",
    ):
      assert found == wanted


def test_the_folder_holds_the_parameters_and_no_more(magvit, exported):
  names = {path.name for path in exported.iterdir()}
  assert names == {"README.md", "config.json", _weights(exported).name}
  trained = magvit.trained
  params = (trained.tokenizer_params, trained.transformer_params)
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  leaves = safetensors.numpy.load_file(_weights(exported))
  assert sum(leaf.size for leaf in leaves.values()) == count
  assert {name.split("/")[0] for name in leaves} == {"tokenizer", "transformer"}
  text = (exported / "config.json").read_text()
  assert "data_dir" not in text and "class_names" in text


def test_a_folder_is_told_from_a_run(exported, trained_run):
  assert files.is_export(exported)
  assert not files.is_export(trained_run)
  assert open_model(exported).clip_shape == open_model(trained_run).clip_shape


def test_half_precision_takes_half_of_the_bytes_and_is_loaded_as_float32(
  magvit, exported, tmp_path
):
  magvit.save_pretrained(tmp_path / "half", dtype="float16")
  sizes = [_weights(f).stat().st_size for f in (tmp_path / "half", exported)]
  assert sizes[0] < 0.6 * sizes[1]
  found = Magvit.from_pretrained(tmp_path / "half").trained
  for name in ("tokenizer_params", "transformer_params"):
    for half, whole in zip(
      jax.tree.leaves(getattr(found, name)),
      jax.tree.leaves(getattr(magvit.trained, name)),
      strict=True,
    ):
      assert half.dtype == np.float32
      # A step of float16 is 2**-10 of a number, and 2**-24 of small ones.
      np.testing.assert_allclose(half, whole, rtol=2**-11, atol=2**-25)
  content = json.loads((tmp_path / "half" / "config.json").read_text())
  assert content["format"] == 2  # So that older versions refuse it.
  assert json.loads((exported / "config.json").read_text())["format"] == 1


def test_what_half_precision_cannot_hold_is_refused(magvit, tmp_path):
  params = jax.tree.map(
    lambda leaf: leaf * 1e30, magvit.trained.tokenizer_params
  )
  other = Magvit(dataclasses.replace(magvit.trained, tokenizer_params=params))
  with pytest.raises(UserError, match="too large for float16"):
    other.save_pretrained(tmp_path / "half", dtype="float16")
  assert not (tmp_path / "half").exists()
  with pytest.raises(UserError, match=r"dtype='int8' must be one of float32"):
    magvit.save_pretrained(tmp_path / "half", dtype="int8")


def test_an_export_of_before_says_nothing_of_its_data(copy):
  _edit_config(copy, lambda content: content.pop("data_options"))
  assert Magvit.from_pretrained(copy).trained.data is None


def test_a_tokenizer_alone_can_be_saved(magvit, tmp_path):
  trained = dataclasses.replace(magvit.trained, transformer_params=None)
  Magvit(trained).save_pretrained(tmp_path / "alone")
  found = Magvit.from_pretrained(tmp_path / "alone")
  assert found.trained.transformer_params is None
  with pytest.raises(UserError, match="only a tokenizer"):
    found.generate()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.999])
def test_a_flipped_bit_is_seen(copy, place):
  path = _weights(copy)
  data = bytearray(path.read_bytes())
  header = int.from_bytes(data[:8], "little")
  number = 8 + header + int(place * (len(data) - 8 - header))
  data[number] ^= 1
  path.write_bytes(data)
  names = json.loads(bytes(data[8 : 8 + header]))
  start = number - 8 - header
  (name,) = (
    name
    for name, leaf in names.items()
    if name != "__metadata__"
    and leaf["data_offsets"][0] <= start < leaf["data_offsets"][1]
  )
  _refused(copy, path, "damaged", name)


@pytest.mark.slow
def test_every_flipped_byte_of_the_header_is_seen(copy):
  """Where it leaves no other file that means the same, such as in a space."""
  path = _weights(copy)
  data = path.read_bytes()
  place = sharding.replicated(sharding.make_mesh())
  for number in range(8, 200):
    path.write_bytes(
      data[:number] + bytes([data[number] ^ 2]) + data[number + 1 :]
    )
    with pytest.raises(UserError, match=re.escape(str(path))):
      files.load(copy, place)


def test_a_file_that_is_cut_off_is_seen(copy):
  path = _weights(copy)
  path.write_bytes(path.read_bytes()[:-5])
  _refused(copy, path, "damaged or cut off")
  path.unlink()
  _refused(copy, path, "missing")


def _change_leaves(folder, change):
  leaves = safetensors.numpy.load_file(_weights(folder))
  change(leaves)
  safetensors.numpy.save_file(leaves, _weights(folder))


def test_leaves_that_do_not_fit_are_named(copy):
  def change(leaves):
    names = sorted(leaves)
    leaves[names[0]] = leaves[names[0]][..., None]
    del leaves[names[1]]
    leaves["tokenizer/other"] = np.zeros(2, np.float32)

  names = sorted(safetensors.numpy.load_file(_weights(copy)))
  _change_leaves(copy, change)
  _refused(
    copy,
    _weights(copy),
    f"{names[0]} is [",
    f"{names[1]} is missing",
    "tokenizer/other is [2] there, where config.json says missing",
  )


def test_leaves_that_fit_no_network_are_named(copy):
  """As if the networks' code had changed; the file itself is sound."""

  def change(content):
    content["networks"]["vqvae"]["codebook_size"] = 33

  _edit_config(copy, change)
  _refused(copy, "the networks of this magvit3d need", "quantizer", "[33, 8]")


def test_a_damaged_config_is_seen(copy):
  path = copy / "config.json"
  text = path.read_text()
  path.write_text(text.replace('"num_frames": 8', '"num_frames": 9'))
  _refused(copy, path, "SHA-256")
  path.write_text(text[:-10])
  _refused(copy, path, "damaged")
  path.write_text(text)
  _edit_config(copy, lambda content: content.update(format=7))
  _refused(copy, path, "format 7")
  path.unlink()
  _refused(copy, path, "missing")


def test_saving_again_replaces_an_export_alone(magvit, copy):
  before = _weights(copy).name
  params = jax.tree.map(lambda leaf: leaf + 1, magvit.trained.tokenizer_params)
  other = dataclasses.replace(magvit.trained, tokenizer_params=params)
  Magvit(other).save_pretrained(copy)
  assert _weights(copy).name != before
  found = Magvit.from_pretrained(copy).trained.tokenizer_params
  chex.assert_trees_all_equal(found, params)


def test_a_save_that_is_interrupted_leaves_the_export_before(
  magvit, copy, monkeypatch
):
  params = jax.tree.map(lambda leaf: leaf + 1, magvit.trained.tokenizer_params)
  other = dataclasses.replace(magvit.trained, tokenizer_params=params)

  def fail(*_):
    raise OSError(28, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(record, "write_json", fail)
    with pytest.raises(UserError, match="No space left"):
      Magvit(other).save_pretrained(copy)
  found = Magvit.from_pretrained(copy).trained.tokenizer_params
  chex.assert_trees_all_equal(found, magvit.trained.tokenizer_params)
  Magvit(other).save_pretrained(copy)  # And clears what was left.
  assert len(list(copy.iterdir())) == 3


def test_other_folders_are_left_alone(magvit, trained_run, copy, tmp_path):
  (copy / "notes.txt").write_text("mine")
  for folder, text in (
    (copy, "notes.txt"),
    (trained_run, "holds"),
  ):
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match=text):
      magvit.save_pretrained(folder)
    assert sorted(folder.iterdir()) == before
  file = tmp_path / "file"
  file.write_text("mine")
  with pytest.raises(UserError, match="is a file"):
    magvit.save_pretrained(file)


def _in_networks(section, **fields):
  return lambda content: content["networks"][section].update(fields)


@pytest.mark.parametrize(
  ("change", "text"),
  [
    (_in_networks("transformer", num_layers=10**6), "layers=1000000"),
    (_in_networks("transformer", hidden_size=2**40), "hidden_size"),
    (_in_networks("transformer", num_views=2**40), "num_views"),
    (_in_networks("vqvae", num_enc_res_blocks=10**6), "blocks"),
    (_in_networks("vqvae", channel_multipliers=[1] * 10**5), "levels=100000"),
    (_in_networks("vqvae", channel_multipliers=[1, "x"]), "multipliers[1]"),
    (_in_networks("vqvae", codebook_size=10**9), "codebook_size"),
    (lambda c: c.update(image_size=2**20), "pixels"),
    (lambda c: c.update(num_frames=2**30), "pixels"),
    (lambda c: c.update(image_size="8"), "Expected `int`"),
    (lambda c: c.update(class_names=[1]), "Expected `str`"),
    (lambda c: c.update(rig={"intrinsics": [[1]]}), "$.rig"),
    (lambda c: c["rig"].update(intrinsics=[[[1.0]]]), "its rig has"),
    (lambda c: c["rig"]["intrinsics"].pop(), "its rig has"),
    (lambda c: c["weights"].update(leaves={"a": 3}), "leaves"),
    (lambda c: c.update(networks={}), "lacks vqvae"),
  ],
)
def test_hostile_configs_are_refused_before_anything_is_made(
  copy, change, text
):
  _edit_config(copy, change)
  _refused(copy, copy / "config.json", text)


@pytest.mark.parametrize("kind", ["above", "absolute", "link", "config"])
def test_nothing_outside_the_folder_is_read(copy, tmp_path, kind):
  path = _weights(copy)
  outside = shutil.move(path, tmp_path / path.name)
  if kind == "link":
    path.symlink_to(outside)
  elif kind == "config":
    shutil.copy(outside, path)
    moved = shutil.move(copy / "config.json", tmp_path / "config.json")
    (copy / "config.json").symlink_to(moved)
  else:
    name = f"../{path.name}" if kind == "above" else str(outside)
    _edit_config(copy, lambda content: content["weights"].update(file=name))
  _refused(copy, copy / "config.json")


def test_a_run_whose_links_lead_out_is_not_read(trained_run, tmp_path):
  copied = shutil.copytree(trained_run, tmp_path / "run")
  steps = (copied / "tokenizer" / "checkpoints").glob("[0-9]*")
  checkpoint = max(steps, key=lambda path: int(path.name))
  outside = shutil.move(checkpoint / "state", tmp_path / "state")
  (checkpoint / "state").symlink_to(outside)
  with pytest.raises(UserError, match="leads out of"):
    Magvit.from_run(copied)


def test_a_folder_does_not_choose_where_programs_are_read(
  trained_run, tmp_path, monkeypatch
):
  copied = shutil.copytree(trained_run, tmp_path / "run")
  path = copied / "config.json"
  content = json.loads(path.read_text())
  content["compilation_cache_dir"] = str(copied / "programs")
  path.write_text(json.dumps(content))
  before = jax.config.jax_compilation_cache_dir
  open_model(copied)
  assert jax.config.jax_compilation_cache_dir == before
