"""Tests of the command that looks at data sets, and of what it writes."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from preview_data import (
  NUM_FRAMES,
  make_options,
  make_plain,
  make_rich,
)

from data_gen import generate, preview, schema
from data_gen.records import shards
from data_gen.scenes.scenes import make_scene

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  return make_plain(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
  return make_rich(tmp_path_factory.mktemp("rich"))


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_shows_the_cameras_in_step(suffix, rich, tmp_path):
  path = tmp_path / f"scene{suffix}"
  preview.preview_scene(rich.output_dir, "train", 0, str(path), fps=10)
  frames = make_scene(rich, "train", 0)[schema.FRAMES]
  with Image.open(path) as animation:
    assert animation.n_frames == NUM_FRAMES
    for number in range(NUM_FRAMES):
      animation.seek(number)
      picture = np.asarray(animation.convert("RGB")).astype(int)
      assert animation.info["duration"] == 100
      for view in range(3):  # Three clips and the 3D view, in one row.
        x, y = 8 + view * (256 + 8), 8 + 22
        tile = picture[y : y + 256, x : x + 256]
        wanted = frames[view, number].repeat(8, axis=0).repeat(8, axis=1)
        # A GIF has 256 colours.
        limit = 0 if suffix == ".webp" else 8
        assert np.abs(tile - wanted).mean() <= limit


def test_a_figure_shows_frames_of_all_cameras(rich, tmp_path):
  path = tmp_path / "scene.png"
  preview.preview_scene(rich.output_dir, "train", 0, str(path))
  frames = make_scene(rich, "train", 0)[schema.FRAMES]
  with Image.open(path) as image:
    picture = np.asarray(image.convert("RGB"))
  found = {tuple(color) for color in picture.reshape(-1, 3)}
  # All colours of pixels: enlarging adds none and takes none away.
  wanted = {tuple(color) for color in frames.reshape(-1, 3)}
  assert wanted <= found


def test_flat_figures_have_previews(tmp_path):
  options = make_options(
    tmp_path / "flat", preset="traj2d", num_train=2, size_min=0
  )
  generate.generate(options, log=lambda line: None)
  for name in ("scene.html", "scene.png", "scene.gif"):
    preview.preview_scene(options.output_dir, "train", 0, str(tmp_path / name))
    assert (tmp_path / name).stat().st_size > 1000
  assert preview.preview_data(options.output_dir, "train").exists()


@pytest.mark.parametrize(
  ("preset", "unit"), [("traj2d", "m"), ("phyworld_uniform", "units")]
)
def test_axes_have_the_unit_of_the_preset(preset, unit, tmp_path):
  options = make_options(tmp_path / preset, preset=preset, size_min=0)
  generate.generate(options, log=lambda line: None)
  folder = options.output_dir
  page = preview.preview_scene(folder, "train", 0).read_text()
  other = {"m": "units", "units": "m"}[unit]
  assert f" {unit}<" in page and f" {other}<" not in page
  overview = preview.preview_data(folder, "train", str(tmp_path / "all.html"))
  note = {"m": "Metres along", "units": "Units along"}[unit]
  assert note in overview.read_text()


def test_the_default_output_lies_in_the_folder_of_the_data(plain):
  found = preview.preview_scene(plain.output_dir, "ood_pair", 1)
  assert found == pathlib.Path(plain.output_dir, "scene_ood_pair_00001.html")
  found = preview.preview_data(plain.output_dir, "train")
  assert found == pathlib.Path(plain.output_dir, "overview.png")
  with Image.open(found) as image:
    image.verify()


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"data_dir": ""}, "--data is missing"),
    ({"data_dir": "nowhere"}, "--data=nowhere is no folder"),
    ({"split": "test"}, r"--split=test: .* has train \(13\), ood_pair \(2\)"),
    ({"split": "moon"}, "--split=moon"),
    ({"index": 13}, "--scene=13 .* has 13 scenes, numbers 0 to 12"),
    ({"index": -1}, "--scene=-1 does not exist"),
    ({"output": "a.mp4"}, "--output=a.mp4 ends in none of .html, .png, .gif"),
    ({"fps": 0.0}, "--fps=0.0 is out of range"),
  ],
)
def test_wrong_values_of_a_scene_are_named(changes, message, plain, tmp_path):
  values = {
    "data_dir": plain.output_dir,
    "split": "train",
    "index": 0,
    "output": str(tmp_path / "a.html"),
  } | changes
  with pytest.raises(ValueError, match=message):
    preview.preview_scene(**values)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"data_dir": ""}, "--data is missing"),
    ({"output": "a.gif"}, "--output=a.gif ends in none of .png, .html"),
    ({"max_scenes": 0}, "--max_scenes=0"),
  ],
)
def test_wrong_values_of_an_overview_are_named(changes, message, plain):
  values = {"data_dir": plain.output_dir, "split": "train"} | changes
  with pytest.raises(ValueError, match=message):
    preview.preview_data(**values)


def test_what_cannot_be_written_is_named(plain, tmp_path):
  (tmp_path / "file").touch()
  (tmp_path / "folder.html").mkdir()
  values = (plain.output_dir, "train", 0)
  with pytest.raises(OSError, match=r"--output=.*a.html cannot be written"):
    preview.preview_scene(*values, str(tmp_path / "file" / "a.html"))
  with pytest.raises(ValueError, match=r"folder.html is a folder"):
    preview.preview_scene(*values, str(tmp_path / "folder.html"))


def test_a_failed_write_leaves_the_old_file(plain, tmp_path, monkeypatch):
  path = tmp_path / "scene.html"
  path.write_text("old")

  def fail(*args):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(shards.os, "fsync", fail)
  with pytest.raises(OSError, match="No space left"):
    preview.preview_scene(plain.output_dir, "train", 0, str(path))
  assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_the_command_prints_errors_without_traceback(plain):
  def run(*arguments):
    return subprocess.run(
      [sys.executable, "-m", "data_gen.preview", *arguments],
      cwd=_ROOT,
      capture_output=True,
      text=True,
    )

  failed = run(f"--data={plain.output_dir}", "--scene=99")
  assert failed.returncode == 1
  assert failed.stderr.startswith("preview: --scene=99 does not exist")
  assert len(failed.stderr.splitlines()) == 1
  made = run(f"--data={plain.output_dir}", "--scene=0")
  assert made.returncode == 0 and not made.stderr
  assert "scene_train_00000.html" in made.stdout


def test_making_a_data_set_imports_no_matplotlib():
  program = "import sys, data_gen.generate; print('matplotlib' in sys.modules)"
  found = subprocess.run(
    [sys.executable, "-c", program],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert found.stdout.strip() == "False"
