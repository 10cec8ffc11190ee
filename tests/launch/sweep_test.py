"""A whole sweep on this machine, stopped, gone on with, and looked at."""

import json
import signal
import subprocess
import sys
import time

import jax
import pytest
import shrunk

from launch import sweep
from magvit3d.cli import interruption

pytestmark = pytest.mark.filterwarnings(  # Of ml_collections.
  "ignore:the load_module:DeprecationWarning"
)
_FIELDS = {
  "data__num_colors": 2,
  "stages": "data,tokenizer,transformer",
  "train_tokenizer__num_steps": 2,
  "train_tokenizer__warmup_steps": 1,
  "train_transformer__num_steps": 2,
  "train_transformer__warmup_steps": 1,
}
# The second one has no such frames, which only a run finds out.
_TASK = "tasks.frame_prediction.cond_frames"
_SAVING = "train_transformer.checkpoint_every_steps"


def _arguments(output):
  given = shrunk.make_arguments(**_FIELDS)
  return [
    *(text for text in given if _TASK not in text and _SAVING not in text),
    f"--sweep={_SAVING}=1,2;{_TASK}=4,99",
    f"--output={output}",
  ]


def _start(output, *flags):
  cache = jax.config.jax_compilation_cache_dir
  environment = shrunk.make_environment() | {
    "JAX_COMPILATION_CACHE_DIR": str(cache),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  return subprocess.Popen(
    [sys.executable, "-m", "launch.sweep", *_arguments(output), *flags],
    cwd=shrunk.ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
  """The folder, and what a start that was stopped and the next one said."""
  output = tmp_path_factory.mktemp("sweeps") / "sweep"
  process = _start(output)
  deadline = time.monotonic() + 300
  while not list(output.glob("shared/*/stages.json")):
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  stopped = (*process.communicate(timeout=300), process.returncode)
  process = _start(output, "--max_parallel=2")
  ended = (*process.communicate(timeout=300), process.returncode)
  return output, stopped, ended


@pytest.mark.slow
def test_a_sweep_that_is_stopped_stops_its_runs_and_goes_on(swept):
  output, (_, error, status), _ = swept
  assert status == 130 and "Traceback" not in error
  assert error.splitlines()[-1] == (
    "Interrupted. Run the same command again to continue."
  )
  assert "Its runs have saved and stopped." in error
  (share,) = (output / "shared").iterdir()
  assert "run the same command again" in (share / "log.txt").read_text()
  stages = json.loads((share / "stages.json").read_text())
  assert stages["tokenizer"]["status"] == "done"


@pytest.mark.slow
def test_points_share_a_tokenizer_and_are_whole_runs(swept):
  output, _, _ = swept
  points = sorted(path.name for path in (output / "points").glob("?-*"))
  assert points == [
    "0-checkpoint_every_steps=1-cond_frames=4",
    "1-checkpoint_every_steps=1-cond_frames=99",
    "2-checkpoint_every_steps=2-cond_frames=4",
    "3-checkpoint_every_steps=2-cond_frames=99",
  ]
  for name, every in ((points[0], 1), (points[2], 2)):
    folder = output / "points" / name
    config = json.loads((folder / "config.json").read_text())
    assert config["train_transformer"]["checkpoint_every_steps"] == every
    stages = json.loads((folder / "stages.json").read_text())
    for stage in ("data", "tokenizer", "transformer"):
      assert stages[stage]["status"] == "done"
    log = (folder / "log.txt").read_text()
    assert "Stage data is complete." in log
    assert "Stage tokenizer is complete." in log
  # As main finds it, without another word.
  again = shrunk.run_main(
    *json.loads((folder / "task.json").read_text())["flags"],
    f"--workdir={folder}",
  )
  assert again.returncode == 0 and "All is done" in again.stderr


@pytest.mark.slow
def test_points_that_fail_are_told_with_their_last_words(swept):
  output, _, (printed, error, status) = swept
  assert status == 1 and "2 of 4 points are done." in printed
  for number in (1, 3):
    (folder,) = output.glob(f"points/{number}-*")
    told = [line for line in error.splitlines() if line.startswith("Error:")]
    (line,) = [line for line in told if folder.name in line]
    assert "cond_frames" in line and f"(log: {folder / 'log.txt'})" in line
  assert "--retry begins failed ones again." in error


@pytest.mark.slow
def test_status_shows_each_point(swept, capsys):
  output, _, _ = swept
  assert sweep.main(["--status", f"--output={output}"]) == 1
  printed = capsys.readouterr().out
  assert printed.splitlines()[-1] == "4 points: 2 DONE, 2 FAILED."
  assert printed.count("cond_frames=99  FAILED") == 2


@pytest.mark.slow
def test_what_failed_is_left_alone_until_it_is_retried(swept):
  output, _, _ = swept
  logs = {path: path.read_text() for path in output.glob("points/*/log.txt")}
  process = _start(output)
  _, error = process.communicate(timeout=300)
  assert process.returncode == 1 and ": begun." not in error
  assert logs == {path: path.read_text() for path in logs}
  process = _start(output, "--retry")
  _, error = process.communicate(timeout=300)
  assert process.returncode == 1 and error.count(": begun.") == 2
  for path, text in logs.items():
    assert (path.read_text() != text) == ("cond_frames=99" in str(path))


@pytest.fixture(autouse=True)
def own_handlers(monkeypatch):
  """Signals to the tests' process stay those of the tests."""
  monkeypatch.setattr(interruption, "install", lambda: None)


def _told(capsys, *arguments):
  status = sweep.main(arguments)
  return status, capsys.readouterr().err.strip()


@pytest.mark.slow
def test_another_sweep_in_the_same_folder_is_refused(swept, capsys):
  output, _, _ = swept
  other = [*_arguments(output)]
  other[-2] = f"--sweep={_SAVING}=1,3;{_TASK}=4,99"
  status, error = _told(capsys, *other)
  assert status == 1
  assert error.startswith(f"Error: --output={output} holds another sweep: it")
  assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--sweep=vqvae.filterz=8"], "Point 0-filterz=8: --config has no field"),
    (["--sweep=seed=1", "--workdir=x"], "'--workdir=x' is no flag"),
    (["--sweep=seed=1", "--max_parallel=0"], "--max_parallel=0 must be 1"),
    (["--sweep=seed=1", "--slurm=time=3"], "--slurm=time=3 needs --executor"),
    (["--sweep=seed=1", "--config.sed=3"], "--config has no field 'sed'"),
    ([], "--sweep is missing"),
    (["--status"], "holds no sweep"),
  ],
)
def test_what_is_wrong_is_told_before_anything_starts(
  arguments, message, tmp_path, capsys
):
  output = tmp_path / "new"
  status, error = _told(
    *(capsys, "--config=configs/traj3d.py:tiny", f"--output={output}"),
    *arguments,
  )
  assert status in (1, 2) and len(error.splitlines()) == 1
  assert error.startswith("Error: ") and message in error
  assert not list(output.glob("*/*"))


def test_each_of_several_runs_has_a_gpu_of_its_own(tmp_path, monkeypatch):
  from launch import local_runs, task_folder
  from magvit3d.errors import UserError

  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
  seen = []

  class Process:
    def poll(self):
      return None

  def start(output, task, environment, in_session):
    seen.append(environment["CUDA_VISIBLE_DEVICES"])
    return Process()

  monkeypatch.setattr(task_folder, "start", start)
  runs = local_runs.LocalRuns(tmp_path, 2)
  for number in range(2):
    runs.start(local_runs.Task(f"points/{number}", (), ()))
  alone = local_runs.LocalRuns(tmp_path, 1)
  alone.start(local_runs.Task("points/3", (), ()))
  assert seen == ["2", "5", "2,5"]
  with pytest.raises(UserError, match=r"there are 2 \(2, 5\)"):
    local_runs.LocalRuns(tmp_path, 3)


def test_runs_of_a_killed_sweep_keep_their_gpus(tmp_path, monkeypatch):
  from launch import local_runs, task_folder

  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
  tasks = [local_runs.Task(f"points/{n}", (), ()) for n in range(3)]
  seen, running = [], {"0", "1"}

  def start(output, task, environment, in_session):
    seen.append(environment["CUDA_VISIBLE_DEVICES"])

  monkeypatch.setattr(task_folder, "start", start)
  monkeypatch.setattr(task_folder, "is_running", lambda f: f.name in running)
  killed = local_runs.LocalRuns(tmp_path, 2)
  killed.start(tasks[0])
  killed.start(tasks[1])
  again = local_runs.LocalRuns(tmp_path, 2)
  again.adopt(tasks)
  running.remove("1")
  assert again.running() == tasks[:1]
  again.start(tasks[2])
  assert seen == ["2", "5", "5"]
