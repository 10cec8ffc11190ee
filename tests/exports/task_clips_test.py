"""`python -m magvit3d.generate`: what it writes, and refuses to."""

import dataclasses
import html.parser
import importlib.util
import subprocess
import sys

import generate_command
import numpy as np
import pytest
import recorded
import shrunk
from PIL import Image

from data_gen.records.scene_source import SceneSource
from magvit3d.api import Magvit
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.exports import clips
from magvit3d.exports.real_clips import open_clips


@pytest.fixture(scope="module")
def magvit(trained_run):
  return Magvit.from_run(trained_run)


@pytest.fixture
def run(trained_run, tmp_path, monkeypatch, capsys):
  """Calls the command; returns exit status, output, arrays and folder."""
  return generate_command.make(trained_run, tmp_path, monkeypatch, capsys)


class _Page(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.sources, self.words = [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    for key, value in attrs:
      assert key not in ("src", "href") or value.startswith(("data:", "#"))
      if key == "src":
        self.sources.append(value)

  def handle_data(self, data):
    self.words.append(data.strip())


@pytest.mark.slow
def test_single_clips_are_recorded_with_their_camera(run, tmp_path):
  pytest.importorskip("rerun")
  status, text, arrays, folder = run(
    "--task=frame_prediction", "--num=2", "--format=rrd"
  )
  assert status == 0, text
  found = recorded.rows(folder / "clips.rrd", tmp_path)
  names = [
    f"/scene_{scene}_camera_{camera}"
    for scene, camera in zip(arrays["scenes"], arrays["cameras"], strict=True)
  ]
  for name in names:
    assert found[f"{name}/camera_0@Pinhole:image_from_camera"] == 1
    assert f"{name}/path/true@LineStrips3D:strips" in found
    assert f"{name}/path/predicted@LineStrips3D:strips" not in found


def test_clips_of_classes_are_written(run, magvit):
  status, text, arrays, folder = run("--num=5", "--shape=cone", "--seed=2")
  assert status == 0 and f"Page: {folder / 'index.html'}" in text
  assert sorted(path.name for path in folder.iterdir()) == [
    "clips.gif",
    "clips.mp4",
    "clips.npz",
    "index.html",
  ]
  made = magvit.generate("cone", num=5, seed=2)
  np.testing.assert_array_equal(arrays["clips"], made)
  np.testing.assert_array_equal(magvit.detokenize(arrays["tokens"]), made)
  names = arrays["class_names"][arrays["labels"]]
  np.testing.assert_array_equal(names, arrays["captions"])
  assert {name.split("_")[0] for name in names} == {"cone"}
  assert "real" not in arrays
  page = _Page((folder / "index.html").read_text())
  assert len(page.sources) == 2  # Rows of four.
  assert set(names) <= set(page.words)
  with Image.open(folder / "clips.gif") as image:
    assert image.n_frames == magvit.clip_shape[0]
    assert image.width >= 4 * 128


def test_predictions_stand_beside_what_they_are_of(run, magvit, trained_run):
  status, _, arrays, folder = run("--task=frame_prediction", "--num=3")
  assert status == 0
  real, shown = arrays["real"], arrays["condition"]
  np.testing.assert_array_equal(shown[:, :4], real[:, :4])
  for frame in range(4, 8):
    np.testing.assert_array_equal(shown[:, frame], real[:, 3])
  predicted = magvit.predict(real)
  np.testing.assert_array_equal(arrays["clips"][:, 4:], predicted[:, 4:])
  scenes = SceneSource(trained_run / "data", "test")
  for row, (number, camera) in enumerate(
    zip(arrays["scenes"], arrays["cameras"], strict=True)
  ):
    scene = scenes.scene(number)
    np.testing.assert_array_equal(real[row], scene["frames"][camera])
    for key in ("intrinsics", "camera_from_world"):
      np.testing.assert_array_equal(arrays[key][row], scene[key][camera])
    assert arrays["captions"][row] == scene["caption"]
    assert arrays["labels"][row] == scene["class"]
  page = _Page((folder / "index.html").read_text())
  assert len(page.sources) == 3 and page.words.count("condition") == 3
  assert set(arrays["captions"]) <= set(page.words)


@pytest.mark.slow
def test_fewer_frames_may_be_given(run, magvit):
  _, _, arrays, _ = run(
    "--task=frame_prediction", "--num=2", "--given_frames=2", "--split=train"
  )
  real = arrays["real"]
  np.testing.assert_array_equal(arrays["condition"][:, 7], real[:, 1])
  predicted = magvit.predict(real, 2)
  np.testing.assert_array_equal(arrays["clips"][:, 2:], predicted[:, 2:])


def test_a_split_with_fewer_clips_is_told(run):
  status, text, arrays, _ = run("--task=frame_prediction", "--num=100")
  assert status == 0 and len(arrays["clips"]) == 12
  assert "Note: the split has 12 clips, fewer than --num=100." in text


@pytest.mark.slow
def test_without_a_writer_of_mp4_the_gif_is_there(run, monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  status, text, _, folder = run("--num=1")
  assert status == 0 and "no MP4" in text and "ffmpeg" in text
  assert (folder / "clips.gif").exists()
  assert not (folder / "clips.mp4").exists()


@pytest.mark.variants
@pytest.mark.parametrize(
  ("arguments", "text"),
  [
    (["--task=outpainting_h"], "has learnt frame_prediction, full_generation"),
    (["--num=0"], "--num=0"),
    (["--seed=-1"], "seed=-1"),
    (["--shape=ball"], "cube, cylinder, cone"),
    (["--task=frame_prediction", "--shape=cone"], "--shape and --motion"),
    (["--given_frames=3"], "--given_frames is for frame prediction"),
    (["--task=frame_prediction", "--given_frames=8"], "=8 must be from 1 to 7"),
    (["--task=frame_prediction", "--given_frames=0"], "--given_frames=0 must"),
    (["--task=frame_prediction", "--split=tests"], "has no split 'tests'"),
    (["--task=frame_prediction", "--data=/nowhere"], "/nowhere"),
  ],
)
def test_mistakes_are_told_and_write_nothing(run, arguments, text):
  status, said, _, folder = run(*arguments)
  assert status == 1 and text in said
  assert not folder.exists()


def test_an_output_that_is_there_stays(run, tmp_path):
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "mine.txt").write_text("mine")
  status, text, _, folder = run()
  assert status == 1 and "exists already" in text
  assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_shared_networks_need_data_for_conditions(run, magvit, tmp_path):
  shared = tmp_path / "shared"
  magvit.save_pretrained(shared)
  status, text, _, _ = run("--task=frame_prediction", run=shared)
  assert status == 1 and "--data" in text
  status, _, arrays, _ = run("--num=2", run=shared)
  assert status == 0
  np.testing.assert_array_equal(arrays["clips"], magvit.generate(num=2))


def test_clips_must_fit_the_networks(magvit, trained_run):
  """Sizes of the data set beside those of the networks."""
  data = trained_run / "data"
  for field, value, text in (
    ("image_size", 32, "24 pixels"),
    ("num_frames", 9, "too few"),
    ("frame_stride", 2, "every frame number 2"),
  ):
    other = dataclasses.replace(magvit.trained, **{field: value})
    with pytest.raises(UserError, match=text):
      open_clips(data, "test", other)


def test_a_task_that_is_told_the_class_needs_to_know_it(magvit, trained_run):
  tasks = dict(magvit.trained.config.given["tasks"])
  fields = dict(tasks["frame_prediction"], class_conditional=True)
  given = dict(
    magvit.trained.config.given, tasks=dict(tasks, frame_prediction=fields)
  )
  config = RunConfig.from_dict(given)
  names = tuple(f"x{name}" for name in magvit.class_names)
  other = dataclasses.replace(magvit.trained, config=config, class_names=names)
  choices = clips.Choices(data=trained_run / "data")
  with pytest.raises(UserError, match="classes that the run does not know"):
    clips.make(Magvit(other), "frame_prediction", 2, 0, choices)


def test_command_ends_without_a_traceback(tmp_path):
  for arguments, status, text in (
    (
      ["--run=/nowhere", f"--output={tmp_path / 'out'}"],
      1,
      "'/nowhere' is no folder",
    ),
    (["--run=/nowhere", "--outputs=x"], 2, "--output"),
  ):
    found = subprocess.run(
      [sys.executable, "-m", "magvit3d.generate", *arguments],
      cwd=shrunk.ROOT,
      env=shrunk.make_environment(),
      capture_output=True,
      text=True,
    )
    assert found.returncode == status and text in found.stderr
    assert "Traceback" not in found.stderr
