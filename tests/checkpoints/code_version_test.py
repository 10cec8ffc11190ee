"""The version of the code is that of its checkout, if it has one."""

import importlib.metadata
import subprocess

import jax
import pytest

from magvit3d.checkpoints import code_version
from magvit3d.checkpoints.code_version import git_state


def _git(folder, *arguments):
  person = ["-c", "user.name=a", "-c", "user.email=a@b"]
  subprocess.run(["git", *person, *arguments], cwd=folder, check=True)


@pytest.fixture
def checkout(tmp_path):
  _git(tmp_path, "init", "-q")
  (tmp_path / "code.py").write_text("1")
  _git(tmp_path, "add", ".")
  _git(tmp_path, "commit", "-qm", "first")
  return tmp_path


def test_changed_code_is_dirty_and_other_files_are_not(checkout):
  commit, is_dirty = git_state(checkout)
  assert len(commit) == 40 and is_dirty is False
  (checkout / "runs.txt").write_text("2")
  assert git_state(checkout) == (commit, False)
  (checkout / "code.py").write_text("2")
  assert git_state(checkout) == (commit, True)


def test_checkout_of_another_project_around_the_code_is_not_taken(checkout):
  (checkout / "site-packages").mkdir()
  assert git_state(checkout / "site-packages") == (None, None)


def test_no_git_is_no_error(checkout, monkeypatch):
  monkeypatch.setenv("PATH", "")
  assert git_state(checkout) == (None, None)


def test_uninstalled_package_has_no_version(monkeypatch):
  def version(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, "version", version)
  found = code_version.code_version.__wrapped__()
  assert found["magvit3d"] == "unknown" and found["jax"] == jax.__version__
