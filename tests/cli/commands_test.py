"""`magvit3d PROGRAM` is `python -m` of it, from any folder."""

import subprocess
import sys

import pytest
from shrunk import ROOT

from magvit3d.cli import commands


def _run(folder, *arguments):
  program = "from magvit3d.cli import commands; commands.main()"
  return subprocess.run(
    [sys.executable, "-c", program, *arguments],
    cwd=folder,
    env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    check=False,
  )


def test_help_says_a_line_of_each_program():
  done = _run(ROOT)
  assert done.returncode == 0, done.stderr
  lines = {line.split()[0]: line for line in done.stdout.splitlines()[2:]}
  assert lines.keys() == commands.PROGRAMS.keys()
  assert lines["demo"].endswith(
    "  Shows in a minute what a trained model can do, on scenes nobody has seen"
  )


def test_every_module_that_is_run_is_a_program():
  """What `python -m magvit3d.X` runs is there by name."""
  modules = {
    f"magvit3d.{path.stem}"
    for path in (ROOT / "magvit3d").glob("*.py")
    if "__main__" in path.read_text()
  }
  assert modules <= set(commands.PROGRAMS.values())


def test_an_unknown_program_is_told_with_those_there_are(tmp_path):
  done = _run(tmp_path, "trian")
  assert done.returncode == 2
  assert done.stderr.startswith(
    "Error: 'trian' is no program of magvit3d. Use train,"
  )


@pytest.mark.parametrize(
  "config",
  [["--config=configs/traj3d.py:tiny"], ["--config", "configs/traj3d.py:tiny"]],
)
def test_an_installed_config_is_found_from_any_folder(tmp_path, config):
  done = _run(tmp_path, "train", *config, "--config.data.num_trains=3")
  assert done.returncode == 2
  assert "--config has no field 'num_trains'" in done.stderr
  assert not list(tmp_path.iterdir())


def test_a_config_of_the_folder_comes_before_an_installed_one(tmp_path):
  (tmp_path / "configs").mkdir()
  (tmp_path / "configs" / "traj3d.py").write_text("raise ValueError('mine')")
  done = _run(tmp_path, "train", "--config=configs/traj3d.py:tiny")
  assert done.returncode != 0
  assert "mine" in done.stderr
