"""Damaged checkpoints are moved away, and the one before takes their place."""

import errno
import json
import os
import pathlib
import shutil

import chex
import numpy as np
import orbax.checkpoint as ocp
import pytest
from checkpoint_samples import (
  FAILED_READS,
  abstract,
  checkpoints_in,
  make_batches_of_numbers,
  make_state,
  restore,
  save,
  steps_in,
)

from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints import state_reading
from magvit3d.errors import UserError

_FLIPS = 3  # Per file.

pytestmark = FAILED_READS


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
  """Folder with steps 6 and 7, whose next batches are the 6th and 7th."""
  folder = tmp_path_factory.mktemp("sound") / "checkpoints"
  batches = make_batches_of_numbers()
  for step in range(1, 8):
    next(batches)
    if step >= 6:
      save(folder, step, batches=batches)
  return folder


@pytest.fixture
def folder(sound, tmp_path):
  """A copy of it, of a stage called tokenizer."""
  folder = tmp_path / "tokenizer" / "checkpoints"
  shutil.copytree(sound, folder)
  return folder


def _files(folder):
  return sorted(
    str(path.relative_to(folder))
    for path in folder.rglob("*")
    if path.is_file()
  )


def _set_aside(folder):
  return sorted(path.name for path in _aside(folder).glob("*"))


def _aside(folder):
  return folder.parent / "damaged_checkpoints"


def _assert_same(found, step):
  chex.assert_trees_all_equal(found, make_state(step))


def _restored_step(folder):
  """Restores, checks that all belongs together, and returns the step."""
  batches = make_batches_of_numbers()
  found = restore(folder, batches=batches)
  step = int(found["step"])
  _assert_same(found, step)
  assert batches.get_state()["next_index"] == step
  assert steps_in(folder) == ([6, 7] if step == 7 else [6])
  assert _set_aside(folder) == ([] if step == 7 else ["7"])
  return step


def _flip(path: pathlib.Path, place: int, bit: int):
  content = bytearray(path.read_bytes())
  content[place] ^= 1 << bit
  path.write_bytes(content)


def test_a_flipped_bit_in_any_file_is_harmless_or_found(sound, tmp_path):
  rng = np.random.default_rng(0)
  found = {}
  for name in _files(sound / "7"):
    for i in range(_FLIPS):
      folder = tmp_path / name.replace("/", "_") / str(i) / "checkpoints"
      shutil.copytree(sound, folder)
      path = folder / "7" / name
      place = rng.integers(path.stat().st_size)
      _flip(path, place, rng.integers(8))
      found.setdefault(name, []).append(_restored_step(folder))
  assert len(found) > 5
  record = found.pop(os.path.join(checkpoint_record.ITEM, "metadata"))
  assert record == [6] * _FLIPS
  arrays = [steps for name, steps in found.items() if "/d/" in name]
  assert [6] * _FLIPS in arrays
  assert any(7 in steps for steps in found.values())  # Not read.


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_missing_or_cut_file_is_harmless_or_found(
  sound, tmp_path, is_missing
):
  found = []
  for name in _files(sound / "7"):
    folder = tmp_path / name.replace("/", "_") / "checkpoints"
    shutil.copytree(sound, folder)
    path = folder / "7" / name
    if is_missing:
      path.unlink()
    else:
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found.append(_restored_step(folder))
  assert {6, 7} == set(found)


def test_empty_checkpoint_is_moved_away_and_named(folder, caplog):
  shutil.rmtree(folder / "7")
  (folder / "7").mkdir()
  assert _restored_step(folder) == 6
  told = [text for text in caplog.messages if "is damaged" in text]
  assert len(told) == 1
  assert f"{folder / '7' / 'record' / 'metadata'} is missing" in told[0]
  assert f"was moved to {_aside(folder) / '7'}" in told[0]


def test_changed_leaf_is_named(folder, caplog):
  """A whole state of sound files, of which a leaf is another."""
  shutil.rmtree(folder / "7" / "state")
  state = make_state(7)
  state["kernel"] = state["kernel"].at[1].add(1e-6)
  with ocp.StandardCheckpointer() as writer:
    writer.save((folder / "7" / "state").absolute(), state)
  assert _restored_step(folder) == 6
  assert "checksums differ of kernel)" in caplog.text


def test_other_place_in_the_data_is_damage(folder, caplog):
  path = folder / "7" / "record" / "metadata"
  sealed = json.loads(path.read_text())
  sealed["content"]["iterator"]["next_index"] = 5
  path.write_text(json.dumps(sealed))
  assert _restored_step(folder) == 6
  assert f"{path} has another CRC32C than it says" in caplog.text


def test_record_in_other_words_is_sound(folder):
  """The checksum is of what is said, not of spaces."""
  path = folder / "7" / "record" / "metadata"
  path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
  assert _restored_step(folder) == 7


def test_training_writes_the_step_again(folder):
  """And what is damaged again gets a number."""
  for names in (["7"], ["7", "7.1"]):
    (folder / "7" / "record" / "metadata").write_text("{")
    with checkpoints_in(folder) as opened:
      _assert_same(opened.restore(abstract()), 6)
      opened.save(7, make_state(), make_batches_of_numbers())
    assert steps_in(folder) == [6, 7]
    assert _set_aside(folder) == names
  with checkpoints_in(folder) as opened:
    _assert_same(opened.restore_newest(abstract()), 7)


@pytest.mark.parametrize("file", ["record/metadata", "state/_METADATA"])
def test_without_a_sound_one_it_fails_once_and_then_begins_anew(folder, file):
  for step in ("6", "7"):
    (folder / step / file).write_text("{")
  with pytest.raises(UserError, match=r"no sound checkpoint left.*from step 0"):
    restore(folder)
  assert _set_aside(folder) == ["6", "7"]
  with checkpoints_in(folder) as opened:
    assert opened.latest_step() is None


def test_asking_for_the_newest_fails_once_without_a_sound_one(folder):
  """Else a run would begin anew, and nobody be told."""
  for step in ("6", "7"):
    (folder / step / "record" / "metadata").write_text("{")
  with checkpoints_in(folder) as opened:
    with pytest.raises(UserError, match="no sound checkpoint left"):
      opened.latest_step()
    assert opened.latest_step() is None


# An outcome of training is not replaced by an older state.


@pytest.mark.parametrize("file", ["record/metadata", "state/_METADATA"])
def test_outcome_is_not_replaced_by_an_older_one(folder, file):
  (folder / "7" / file).write_text("{")
  message = r"set aside as .*/7\. .* tokenizer among its stages.* from step 6;"
  for _ in range(2):  # Also when it lies there from earlier.
    with checkpoints_in(folder) as opened:
      with pytest.raises(UserError, match=message):
        opened.restore_newest(abstract())
  shutil.rmtree(_aside(folder))
  with checkpoints_in(folder) as opened:
    _assert_same(opened.restore_newest(abstract()), 6)


def test_outcome_that_was_trained_past_the_damage_is_used(folder):
  (_aside(folder) / "7.2").mkdir(parents=True)
  with checkpoints_in(folder) as opened:
    _assert_same(opened.restore_newest(abstract()), 7)


# What is no damage.


def _fail_to_restore(monkeypatch, error):
  def fail(*arguments, **fields):
    raise error

  monkeypatch.setattr(ocp.StandardCheckpointHandler, "restore", fail)


@pytest.mark.parametrize(
  "error",
  [
    MemoryError("no memory"),
    OSError(errno.EMFILE, "Too many open files"),
    ValueError("RESOURCE_EXHAUSTED: out of memory on device"),
  ],
)
def test_trouble_of_the_machine_is_no_damage(folder, monkeypatch, error):
  _fail_to_restore(monkeypatch, error)
  with pytest.raises(type(error), match=str(error.args[-1])):
    restore(folder)
  assert steps_in(folder) == [6, 7] and not _aside(folder).exists()


@pytest.mark.parametrize("name", ["record/metadata", "state/_METADATA"])
def test_file_that_may_not_be_read_is_no_damage(folder, monkeypatch, name):
  path, original = folder / "7" / name, pathlib.Path.open

  def open_(self, *arguments, **fields):
    if self == path:
      raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return original(self, *arguments, **fields)

  monkeypatch.setattr(pathlib.Path, "open", open_)
  _fail_to_restore(monkeypatch, ValueError("PERMISSION_DENIED: " + name))
  with pytest.raises(UserError, match=rf"{name} cannot be read \(Permission"):
    restore(folder)
  assert steps_in(folder) == [6, 7] and not _aside(folder).exists()


def test_checkpoint_that_cannot_be_moved_is_named(folder, monkeypatch):
  def rename(*paths):
    raise OSError(errno.EROFS, "Read-only file system")

  (folder / "7" / "record" / "metadata").write_text("{")
  monkeypatch.setattr(os, "rename", rename)
  with pytest.raises(UserError, match=r"cannot be moved .*Read-only"):
    restore(folder)


def test_damage_in_another_process_counts(folder, monkeypatch):
  """All processes go to the same checkpoint."""
  answers = iter([True, False])
  monkeypatch.setattr(
    state_reading, "is_true_anywhere", lambda value: next(answers)
  )
  _assert_same(restore(folder), 6)
  assert _set_aside(folder) == ["7"]
