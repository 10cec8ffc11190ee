"""What killed processes left is removed, and nothing else."""

import os
import subprocess
import sys

import pytest
import shrunk

from magvit3d.files import new_folder, output_file, temporary_files, work_folder


@pytest.fixture(scope="module")
def dead():
  """The number of a process that has ended."""
  process = subprocess.Popen([sys.executable, "-c", ""])
  process.wait()
  return process.pid


def test_only_files_of_ours_and_of_dead_processes_go(tmp_path, dead):
  left = [
    f".config.json.{dead}.tmp",
    f"evaluation/.paths_frame_prediction.json.{dead}.tmp",
    f"tokenizer/samples/.0000003.webp.{dead}.tmp",
    f"transformer/tokens/manifest.json.{'a1' * 16}.tmp",
    f".writable_{dead}",
  ]
  others = [
    f".config.json.{os.getppid()}.tmp",  # It lives.
    f".notes.{dead}.tmp",
    f"config.json.{dead}.tmp",
    ".config.json.draft.tmp",
    "evaluation/mine.tmp",
    f"data/traj3d.tfrecord.{'a1' * 16}.tmp",  # data_gen's, under its own lock.
  ]
  for name in left + others:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("")
  folder = tmp_path / "evaluation" / f".outputs.{dead}.tmp"
  folder.mkdir()
  (folder / "scores.json").write_text("")
  with work_folder.owned(tmp_path):
    pass
  found = {
    str(path.relative_to(tmp_path)) for path in shrunk.read_times(tmp_path)
  }
  assert found == set(others)


def test_what_a_program_left_of_its_output_goes_with_the_next_call(
  tmp_path, dead
):
  output = tmp_path / "out"
  left, other = (tmp_path / f".{name}.{dead}.tmp" for name in ("out", "output"))
  left.mkdir()
  (left / "a").write_text("")
  other.mkdir()
  with new_folder.written_whole(output):
    pass
  assert {path.name for path in tmp_path.iterdir()} == {"out", other.name}
  left = tmp_path / f".page.html.{dead}.tmp"
  left.write_text("")
  output_file.check(tmp_path / "page.html")
  assert {path.name for path in tmp_path.iterdir()} == {"out", other.name}


def test_names_are_those_that_are_removed(tmp_path):
  """Of every file that a run writes aside."""
  for name in ("stages.json", "PROGRESS.txt", "clips.npz", "outputs"):
    path = temporary_files.beside(tmp_path / name)
    path.write_text("")
    temporary_files.remove_left(tmp_path)  # Ours: of the one before us.
    assert not path.exists()
