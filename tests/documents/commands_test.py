"""Every command and program that a document shows is known, and can be run.

Flags of all of them are parsed by the programs themselves. What a program does
is run by the test that is named here, or its section says what it takes.
"""

import ast
import contextlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import documented
import numpy as np
import pytest
import shrunk
import small_scenes

from magvit3d.evaluation.tables import Table

# By program: the test that runs it, or words of the section that says what it
# needs, which no test here has: a network, an accelerator, minutes.
_KNOWN = json.loads(
  pathlib.Path(__file__).with_name("commands.json").read_text()
)
_RUN_BY, _NEEDS = _KNOWN["run_by"], _KNOWN["needs"]
_PYTHON_RUN_BY = _KNOWN["python_run_by"]  # By document.
_SMALL = re.compile(
  r"[:_]tiny|:small|-runlocal|--plan|--overfit|--config=\.\.\."
)
_PYTHON_RUN_HERE = {
  "docs/checkpoints.md",
  "docs/datasets.md",
  "docs/evaluation.md",
  "docs/rendered_data.md",
}
_PYTHON_SLOW = {"README.md", "docs/get_started.md", "docs/input_pipeline.md"}
_COMMANDS = [c for c in documented.commands() if c.document != "CHANGELOG.md"]


def test_every_command_is_known():
  unknown = [c for c in _COMMANDS if c.program not in _RUN_BY | _NEEDS]
  assert not [str(command) for command in unknown]
  shown = {command.program for command in _COMMANDS}
  assert not (_RUN_BY.keys() | _NEEDS.keys()) - shown


@pytest.mark.parametrize(
  "test", sorted({*_RUN_BY.values(), *_PYTHON_RUN_BY.values()})
)
def test_the_tests_that_run_them_are_there(test):
  file, _, name = test.partition("::")
  tree = ast.parse((shrunk.ROOT / "tests" / file).read_text())
  assert name in {getattr(node, "name", "") for node in tree.body}


def test_what_no_test_can_run_says_what_it_needs():
  for command in _COMMANDS:
    if not command.is_shown:
      continue
    assert re.search(_NEEDS.get(command.program, ""), command.section), command
    if command.program == "magvit3d.main" and len(command.words) > 3:
      is_small = _SMALL.search(" ".join(command.words))
      needs = "GPU|accelerator|H100|device"
      assert is_small or re.search(needs, command.section), command


def test_every_flag_is_one_of_its_program():
  parsed = []
  for command in _COMMANDS:
    arguments = [
      re.sub(r"=\.\.\.$", "=configs/traj3d.py", re.sub("=[NM]$", "=1", word))
      for word in command.words[1:]
    ]
    if command.words[0] == "python" and arguments[-1].startswith("-"):
      parsed.append((command, arguments))
    elif command.words[0].endswith(".sh"):
      script = (shrunk.ROOT / command.words[0]).read_text()
      for flag in arguments:
        assert flag.partition("=")[0] in script, command
    elif command.program == "pip":
      extras = re.findall(r"\.\[(.+)\]|magvit3d\[(.+)\]", command.words[-1])
      project = tomllib.loads((shrunk.ROOT / "pyproject.toml").read_text())
      known = project["project"]["optional-dependencies"]
      assert {"".join(extra) for extra in extras} <= known.keys(), command
  parsed = [
    (command, arguments)
    for command, arguments in parsed
    if arguments[0] != "-c"
    and arguments[-1] != "--help"
    and "of their own then" not in _NEEDS.get(command.program, "")
  ]
  assert len(parsed) > 30
  found = subprocess.run(
    [sys.executable, shrunk.ROOT / "tests/fixtures/parsed_commands.py"],
    input=json.dumps([arguments for _, arguments in parsed]),
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  wrong = dict(
    zip(map(str, dict(parsed)), json.loads(found.stdout), strict=False)
  )
  assert not {command: text for command, text in wrong.items() if text}


def test_every_program_in_python_is_known():
  with_python = {
    d for d in documented.DOCUMENTS if documented.blocks(d, "python")
  }
  assert with_python == _PYTHON_RUN_BY.keys() | _PYTHON_RUN_HERE | _PYTHON_SLOW
  for document, test in _PYTHON_RUN_BY.items():
    text = (shrunk.ROOT / "tests" / test.partition("::")[0]).read_text()
    assert pathlib.Path(document).name in text


def _run(document, **replaced):
  for block in documented.blocks(document, "python"):
    if "tensorflow_datasets" in block:
      continue  # tests/data_gen/records/tfds_metadata_test.py
    for old, new in replaced.items():
      assert old in block or len(replaced) > 1
      block = block.replace(old, new)
    exec(block, {"__name__": "__main__"})


def test_programs_about_data_run(trained_run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  small_scenes.make(
    "data/traj3d", num_train=0, num_validation=8, split="validation"
  )
  _run("docs/rendered_data.md")
  steps = (trained_run / "tokenizer" / "checkpoints").iterdir()
  step = max(int(path.name) for path in steps if path.name.isdigit())
  _run(
    "docs/checkpoints.md",
    **{"/absolute/WORKDIR": str(trained_run), "/1000/": f"/{step}/"},
  )
  scores = pathlib.Path("runs/tiny/evaluation")
  scores.mkdir(parents=True)
  table = Table("title", "note", "test", 1, (), ())
  text = json.dumps({"tables": [table.to_json()]})
  (scores / "scores.json").write_text(text)
  _run("docs/evaluation.md")


def test_the_program_about_videos_runs(tmp_path, monkeypatch):
  coded_videos = pytest.importorskip("coded_videos")
  monkeypatch.chdir(tmp_path)
  folder = tmp_path / "videos" / "train"
  folder.mkdir(parents=True)
  coded_videos.write_video(folder / "a.mp4", 20)
  _run("docs/datasets.md")


@pytest.mark.slow
def test_the_program_about_batches_runs(tmp_path):
  small_scenes.make(
    tmp_path / "data" / "traj3d", num_train=12, num_frames=16, split="train"
  )
  (program,) = documented.blocks("docs/input_pipeline.md", "python")
  (tmp_path / "program.py").write_text(program)
  found = subprocess.run(
    [sys.executable, "program.py"],
    cwd=tmp_path,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  assert "camera_from_world float32  (4, 2, 3, 4)" in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/get_started.md"])
def test_the_first_program_prints_what_is_shown(document):
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed):
    _run(document)
  assert printed.getvalue() in documented.blocks(document, "")


@pytest.mark.slow
def test_the_readme_shows_what_is_printed(tmp_path):
  (shown,) = [b for b in documented.blocks("README.md", "") if "Mean" in b]
  (command,) = [
    c for c in _COMMANDS if c.document == "README.md" and "demo" in c.program
  ]
  found = subprocess.run(
    [sys.executable, *command.words[1:], "--output=demo"],
    cwd=tmp_path,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  number = r"(\d\.\d{3}) m"
  lines = found.stdout.splitlines()
  begun = lines.index(shown.splitlines()[0])
  printed = "\n".join(lines[begun:][: shown.count("\n")]) + "\n"
  assert re.sub(number, "", printed) == re.sub(number, "", shown)
  # Another machine's rounding may choose other tokens; see the models' cards.
  np.testing.assert_allclose(
    np.array(re.findall(number, printed), float),
    np.array(re.findall(number, shown), float),
    atol=0.01,
  )
