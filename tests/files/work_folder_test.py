"""A work folder has one owner, whom others can name, and stays where it is."""

import os
import signal
import sys
import threading

import lock_holder
import pytest
import shrunk

from magvit3d import compare
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.files import atomic_file, work_folder
from magvit3d.files.work_folder import WorkFolderGoneError

pytestmark = pytest.mark.skipif(
  sys.platform == "win32", reason="Windows has no flock"
)


def _own(workdir):
  with work_folder.owned(workdir):
    pass


def test_another_process_is_named_with_what_to_do(tmp_path):
  with lock_holder.owning(tmp_path) as process:
    with pytest.raises(UserError) as caught:
      _own(tmp_path)
  host = os.uname().nodename
  for text in (
    f"--workdir={tmp_path} is in use by process {process.pid} on {host}, since",
    f"stop it (kill {process.pid} on {host})",
    "or name another --workdir.",
  ):
    assert text in str(caught.value)


def test_nothing_is_left_by_an_owner_that_ends(tmp_path):
  with lock_holder.owning(tmp_path) as process:
    process.stdin.close()
    assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())
  _own(tmp_path)


def test_what_a_killed_owner_left_is_taken_over(tmp_path):
  with lock_holder.owning(tmp_path) as process:
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert [path.name for path in tmp_path.iterdir()] == [work_folder.LOCK_NAME]
    _own(tmp_path)
  assert not list(tmp_path.iterdir())


def test_an_owner_may_own_again_but_no_other_thread(tmp_path):
  errors = []

  def run():
    try:
      _own(tmp_path)
    except UserError as error:
      errors.append(error)

  with work_folder.owned(tmp_path):
    _own(tmp_path / "." / "")
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(errors) == 1
  _own(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(UserError, match="cannot be written"):
    _own(tmp_path)


def test_the_second_main_program_is_refused_and_changes_nothing(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  with lock_holder.owning(tmp_path) as process:
    before = shrunk.read_times(tmp_path)
    done = shrunk.run_main(*shrunk.make_arguments(), f"--workdir={tmp_path}")
    assert shrunk.read_times(tmp_path) == before
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith(f"Error: --workdir={tmp_path} is in use by process")
  assert str(process.pid) in line and not done.stdout


@pytest.mark.parametrize("method", ["run", "overfit"])
def test_an_experiment_of_a_program_is_refused_too(tmp_path, method):
  experiment = Experiment(shrunk.make_config(stages="data"), tmp_path)
  with lock_holder.owning(tmp_path):
    with pytest.raises(UserError, match="is in use by process"):
      getattr(experiment, method)()
  assert not list(tmp_path.glob("[a-z]*"))


def _gone(folder, how):
  if how == "moved":
    folder.rename(folder.with_name("moved"))
  else:
    (folder / work_folder.LOCK_NAME).unlink()
    folder.rmdir()
  if how == "made anew":
    folder.mkdir()


@pytest.mark.parametrize("how", ["moved", "removed", "made anew"])
def test_nothing_is_made_in_place_of_a_folder_that_is_gone(tmp_path, how):
  folder = tmp_path / "run"
  folder.mkdir()
  with pytest.raises(WorkFolderGoneError, match="moved or removed"):
    with work_folder.owned(folder):
      atomic_file.write_text(folder / "tokenizer" / "a.txt", "fine")
      (folder / "tokenizer" / "a.txt").unlink()
      (folder / "tokenizer").rmdir()
      _gone(folder, how)
      atomic_file.write_text(folder / "tokenizer" / "a.txt", "stray")
  assert how == "made anew" or not folder.exists()
  assert not folder.exists() or not list(folder.iterdir())


def test_whatever_fails_then_is_told_as_that(tmp_path):
  folder = tmp_path / "run"
  folder.mkdir()
  with pytest.raises(WorkFolderGoneError) as caught:
    with work_folder.owned(folder):
      _gone(folder, "moved")
      (folder / "metrics.jsonl").open("a")
  assert isinstance(caught.value.__context__, FileNotFoundError)


def test_other_errors_stay_as_they_are(tmp_path):
  with pytest.raises(ZeroDivisionError):
    with work_folder.owned(tmp_path):
      raise ZeroDivisionError


def test_an_error_of_the_inner_owner_is_told_as_that_too(tmp_path):
  """Although something was made at the old place meanwhile."""
  folder = tmp_path / "run"
  folder.mkdir()
  with pytest.raises(WorkFolderGoneError), work_folder.owned(folder):
    try:
      with work_folder.owned(folder):
        _gone(folder, "made anew")
        raise UserError("There is no checkpoint.")
    except UserError as error:
      assert isinstance(error, WorkFolderGoneError)
      with pytest.raises(WorkFolderGoneError):
        atomic_file.write_text(folder / "status.json", "stray")
      raise
  assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["report/mine.html", "mine.json"])
def test_programs_that_write_into_it_are_refused_too(tmp_path, name):
  with lock_holder.owning(tmp_path) as process:
    with pytest.raises(UserError, match="is in use by process") as caught:
      with work_folder.owned_around([None, tmp_path / name]):
        pass
    assert str(process.pid) in str(caught.value)
    with work_folder.owned_around([tmp_path.with_name("elsewhere.html")]):
      pass


def test_programs_are_refused_in_a_sentence(tmp_path, capsys):
  with lock_holder.owning(tmp_path):
    output = f"--output={tmp_path / 'page.html'}"
    assert compare.main([str(tmp_path), str(tmp_path / "b"), output]) == 1
  told = capsys.readouterr().err
  assert told.startswith(f"Error: work folder {tmp_path} is in use by process")
