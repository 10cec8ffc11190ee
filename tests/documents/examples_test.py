"""The examples do what examples/README.md shows."""

import re
import subprocess
import sys

import documented
import pytest
import shrunk

_EXAMPLES = shrunk.ROOT / "examples"
_README = "examples/README.md"


def _run(*command, **options):
  found = subprocess.run(
    command,
    env=shrunk.make_environment() | options.pop("variables", {}),
    capture_output=True,
    text=True,
    **options,
  )
  assert found.returncode == 0, found.stderr
  return found.stdout


def _shown(word):
  (block,) = [b for b in documented.blocks(_README, "") if word in b]
  return block


@pytest.mark.slow
def test_a_video_becomes_tokens(tmp_path):
  coded_videos = pytest.importorskip("coded_videos")
  coded_videos.write_video(tmp_path / "mine.mp4", 37)
  program = _EXAMPLES / "tokenize_video.py"
  command = (sys.executable, program, "mine.mp4", "--output=tokens")
  printed = _run(*command, cwd=tmp_path)
  for name in ("tokens.npz", "compared.mp4"):
    assert (tmp_path / "tokens" / name).stat().st_size > 1000
  number = r"PSNR .*"
  assert re.sub(number, "", printed) == re.sub(number, "", _shown("PSNR"))


@pytest.mark.slow
def test_views_become_a_path(tmp_path):
  program = _EXAMPLES / "views_to_path.py"
  printed = _run(sys.executable, program, "--output=path", cwd=tmp_path)
  for name in ("path.csv", "path.png"):
    assert (tmp_path / "path" / name).stat().st_size > 500
  digits = r" *-?\d\.\d+"  # Another machine's may be a little different.
  shown = _shown("cylinder_helical")
  assert re.sub(digits, "", printed) == re.sub(digits, "", shown)
  assert float(re.search(r"Mean: (\S+) m", printed)[1]) < 0.15


@pytest.mark.slow
def test_shapes_are_trained_on(tmp_path):
  """A few steps of it."""
  few = [
    argument
    for argument in shrunk.make_arguments()
    if re.match(r"--config\.(train_\w+|evaluation|data\.num)", argument)
    and "crop" not in argument
    and "num_frames" not in argument
  ]
  program = _EXAMPLES / "train_shapes.sh"
  workdir = tmp_path / "shapes"
  printed = _run(
    program,
    *few,
    f"--workdir={workdir}",
    "--config.oracle_gate=False",
    variables={"PYTHON": sys.executable},
  )
  assert f"Report: {workdir / 'report' / 'index.html'}" in printed


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(monkeypatch):
  nbclient = pytest.importorskip("nbclient")
  nbformat = pytest.importorskip("nbformat")
  monkeypatch.setenv("PYTHONPATH", str(shrunk.ROOT))
  notebook = nbformat.read(_EXAMPLES / "readme_story.ipynb", as_version=4)
  kept = "".join(map(str, _printed(notebook)))
  nbclient.NotebookClient(notebook, timeout=600).execute()
  number = r"\d+(\.\d+)?"
  found = "".join(map(str, _printed(notebook)))
  assert re.sub(number, "", found).split() == re.sub(number, "", kept).split()


def _printed(notebook):
  for cell in notebook.cells:
    for output in cell.get("outputs", ()):
      if output["output_type"] == "stream" and output["name"] == "stdout":
        yield output["text"]
