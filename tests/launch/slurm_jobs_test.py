"""What is asked of Slurm's programs, which are imitated; see slurm_test."""

import json
import os
import sys

import pytest

from launch import points, slurm_jobs, task_folder
from magvit3d.errors import UserError

_TASK = points.Task("points/0", ("--config=a",), ("data",), {"a": "1"})
_PROGRAMS = {
  "sbatch": 'cp "$1" {folder}/submitted; echo Submitted batch job 7',
  "srun": "exit 9",
  "squeue": "cat {folder}/queue",
}


@pytest.fixture
def programs(tmp_path, monkeypatch):
  """A folder with Slurm's programs, which is all of the PATH's head."""
  pytest.importorskip("submitit")
  folder = tmp_path / "programs"
  folder.mkdir()
  for name, text in _PROGRAMS.items():
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text.format(folder=folder)}\n")
    path.chmod(0o755)
  (folder / "queue").write_text("7\n")
  monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
  return folder


def _jobs(output, *settings):
  return slurm_jobs.SlurmJobs(output, 4, settings)


def test_a_job_is_submitted_watched_and_found_again(programs, tmp_path):
  task_folder.prepare(tmp_path, _TASK)
  jobs = _jobs(tmp_path, "partition=gpu", "gpus_per_node=2")
  assert jobs.running() == []
  jobs.start(_TASK)
  text = (programs / "submitted").read_text()
  for option in (
    "--partition=gpu",
    "--gpus-per-node=2",
    "--time=1440",
    "--job-name=points_0",
  ):
    assert f"#SBATCH {option}\n" in text
  assert jobs.running() == [_TASK]
  again = _jobs(tmp_path)
  again.adopt([_TASK])
  assert again.running() == [_TASK]
  assert again.stop() == "Its jobs go on; scancel 7 ends them."
  (programs / "queue").write_text("8\n")
  assert again.running() == [] and again.stop() == ""


def test_a_job_notes_how_its_run_ended(programs, tmp_path, monkeypatch):
  program = programs / "python"
  program.write_text("#!/bin/sh\necho Error: it broke.\nexit 3\n")
  program.chmod(0o755)
  monkeypatch.setattr(sys, "executable", str(program))
  task_folder.prepare(tmp_path, _TASK)
  job = slurm_jobs.Job(tmp_path, _TASK)
  assert job() == 3
  end = json.loads((tmp_path / "points/0/end.json").read_text())
  assert end == {"status": 3, "words": "it broke."}
  assert job.checkpoint().function == job


@pytest.mark.parametrize(
  "setting, message",
  [
    ("partition", "--slurm=partition is not NAME=VALUE"),
    ("nodes=2", "--slurm=nodes=2: a point is one process on one node"),
    ("ntasks_per_node=8", "--slurm=ntasks_per_node=8: a point is one process"),
    ("partitoin=gpu", r"--slurm is wrong: Unavailable parameter.*partitoin"),
  ],
)
def test_a_wrong_setting_is_told(setting, message, programs, tmp_path):
  with pytest.raises(UserError, match=message):
    _jobs(tmp_path, setting)


def test_what_slurm_refuses_is_told(programs, tmp_path):
  (programs / "sbatch").write_text("#!/bin/sh\necho no such qos >&2; exit 1\n")
  with pytest.raises(UserError, match=r"points/0 cannot be submitted: .*qos"):
    _jobs(tmp_path).start(_TASK)
  (programs / "squeue").write_text("#!/bin/sh\necho it is down >&2; exit 1\n")
  with pytest.raises(UserError, match="squeue does not answer: it is down"):
    _jobs(tmp_path).running()


def test_without_slurm_or_submitit_that_is_told(
  programs, tmp_path, monkeypatch
):
  os.remove(programs / "squeue")
  monkeypatch.setenv("PATH", str(programs))
  with pytest.raises(UserError, match="there is no squeue here"):
    _jobs(tmp_path)
  monkeypatch.setitem(sys.modules, "submitit", None)
  with pytest.raises(UserError, match=r"pip install 'magvit3d\[slurm\]'"):
    _jobs(tmp_path)
