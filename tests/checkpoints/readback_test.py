"""Checkpoints are read back before older ones go, in folders of any name."""

import pathlib
import shutil

import chex
import orbax.checkpoint as ocp
import pytest
import shrunk
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

from magvit3d.checkpoints import readback
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.retention import CheckpointSettings
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment

pytestmark = FAILED_READS


def _largest_file(folder: pathlib.Path) -> pathlib.Path:
  files = (path for path in folder.rglob("d/*") if path.is_file())
  return max(files, key=lambda path: path.stat().st_size)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
  folder = tmp_path_factory.mktemp("sound") / "checkpoints"
  save(folder, 7)
  return folder / "7"


def _leaves(folder):
  return checkpoint_record.read(folder)["leaves"]


def test_what_was_written_is_found_sound(sound):
  assert readback.find_damage(sound, _leaves(sound)) is None


def test_files_that_are_cut_are_found(sound, tmp_path):
  leaves = _leaves(sound)
  for number, path in enumerate(sound.rglob("d/*")):
    folder = shutil.copytree(sound, tmp_path / str(number))
    copy = folder / path.relative_to(sound)
    copy.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])
    # Some are of the processes, and merged into others.
    if readback.find_damage(folder, leaves):
      return
  pytest.fail("No cut file was found.")


def test_other_arrays_are_named(sound):
  leaves = _leaves(sound)
  leaves["kernel"]["shape"] = [4]
  leaves["new"] = leaves.pop("half")
  damage = readback.find_damage(sound, leaves)
  assert damage == "other arrays are there: half, kernel, new"


def test_a_save_that_went_wrong_leaves_what_is_older(tmp_path, monkeypatch):
  """As on a disk that takes what it does not keep."""
  folder = tmp_path / "tokenizer" / "checkpoints"
  settings = CheckpointSettings(num_to_keep=1)
  with checkpoints_in(folder, settings=settings) as opened:
    opened.save(1, make_state(1), make_batches_of_numbers())
    opened.wait()
    opened.save(2, make_state(2), make_batches_of_numbers())
    finish = ocp.CheckpointManager.wait_until_finished

    def cut(manager):
      finish(manager)
      path = _largest_file(folder / "2")
      path.write_bytes(path.read_bytes()[:-20])

    monkeypatch.setattr(ocp.CheckpointManager, "wait_until_finished", cut)
    with pytest.raises(UserError, match="not on the disk as it was written"):
      opened.wait()
    monkeypatch.undo()
    assert steps_in(folder) == [1]
    assert (folder.parent / "damaged_checkpoints" / "2").is_dir()
    opened.save(2, make_state(2), make_batches_of_numbers())
    opened.wait()
    assert steps_in(folder) == [2]
  chex.assert_trees_all_equal(restore(folder), make_state(2))


@pytest.mark.parametrize(
  ("config", "steps"), [({"seed": 0}, [2]), ({"seed": 1}, [1, 2])]
)
def test_what_a_killed_process_did_not_delete_goes(tmp_path, config, steps):
  """Under its own config: another one may keep fewer."""
  folder = tmp_path / "tokenizer" / "checkpoints"
  record = {"config": {"seed": 0}}
  with checkpoints_in(folder, record=record) as opened:
    for step in (1, 2):
      opened.save(step, make_state(step), make_batches_of_numbers())
  settings = CheckpointSettings(num_to_keep=1)
  record = {"config": config}
  with checkpoints_in(folder, record=record, settings=settings) as opened:
    opened.delete_left()
  assert steps_in(folder) == steps


@pytest.mark.variants
@pytest.mark.parametrize(
  "name", ["a[1]", "a]", "*", "a?b", "{a,b}", "[!a]", "a b", "a%20#b", "é:'\""]
)
def test_folders_of_any_name_keep_checkpoints(tmp_path, name):
  folder = tmp_path / name / "checkpoints"
  save(folder, 7)
  chex.assert_trees_all_equal(restore(folder), make_state(7))
  assert [path.name for path in folder.parent.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("name", ["a\\b", "\\", "caf\udce9"])
def test_folders_that_keep_none_are_refused_before_anything_is_made(
  tmp_path, name
):
  workdir = tmp_path / name / "run"
  with pytest.raises(UserError, match=r"--workdir=.*Name another folder"):
    Experiment(shrunk.make_config(), workdir)
  assert not list(tmp_path.iterdir())


@pytest.mark.variants
@pytest.mark.parametrize(
  "error",
  [
    RuntimeError("Event loop is closed"),
    TimeoutError("too slow"),
    RecursionError("too deep"),
    ValueError("UNKNOWN: Error reading file [OS error 5: EIO]"),
    ValueError("Cannot allocate memory"),
  ],
)
def test_an_error_of_the_reader_sets_nothing_aside(
  tmp_path, monkeypatch, error
):
  folder = tmp_path / "tokenizer" / "checkpoints"
  save(folder, 7)

  def fail(*arguments, **fields):
    raise error

  monkeypatch.setattr(ocp.StandardCheckpointHandler, "restore", fail)
  with pytest.raises(type(error)), checkpoints_in(folder) as opened:
    opened.restore(abstract())
  assert steps_in(folder) == [7]
  assert [path.name for path in folder.parent.iterdir()] == ["checkpoints"]
