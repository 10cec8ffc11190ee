"""The demo: a page and a picture of scenes nobody has seen, and refusals."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d import demo
from magvit3d.api import Magvit
from magvit3d.cli import console
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.exports import (
  demo_run,
  fresh_scenes,
  picture_grid,
  scene_predictions,
)
from magvit3d.media import animations


@pytest.fixture(scope="module")
def model(trained_run, tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "small"
  Magvit.from_run(trained_run).save_pretrained(folder)
  return folder


@pytest.fixture
def call(monkeypatch, capsys):
  """Calls the program; returns status and what it printed."""
  monkeypatch.setattr(console, "set_up", lambda: None)

  def run(*arguments):
    status = demo.main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out + captured.err

  return run


def test_the_demo_writes_a_page_and_a_picture(model, call, tmp_path):
  output, picture = tmp_path / "out", tmp_path / "demo.webp"
  status, text = call(
    f"--model={model}", "--seed=7", f"--output={output}", f"--picture={picture}"
  )
  assert status == 0, text
  assert [path.name for path in output.iterdir()] == ["index.html"]
  assert f"Page: {output / 'index.html'}" in text
  page = (output / "index.html").read_text()
  for section in ("Motions", "Metres", "Paths", "Samples", "Settings"):
    assert f"<h2>{section}</h2>" in page
  for motion in schema.PRESETS["traj3d"].motions:
    assert f"{motion}: true, predicted" in page
  assert page.count("sample 2") == 2 * 12  # Head and text of each class.
  assert "--seed=7" in page and str(model) in page
  # What is printed is what the page has.
  means = re.findall(r"^  (\d\.\d{3}) m  (.*)$", text, re.M)
  assert [name.split()[-1] for _, name in means] == [
    "prediction",
    "frame",
    "past",
    "tokenizer",
  ]
  rows = dict(re.findall(r"<td>([a-z: ]+)</td><td>(\d\.\d{4})<small>", page))
  for (mean, _), name in zip(
    means,
    ("predicted", "copy last", "constant velocity", "floor: reconstructions"),
    strict=True,
  ):
    assert f"{float(rows[name]):.3f}" == mean
  with Image.open(picture) as image:
    assert image.n_frames == 8 and image.width > 700
  assert picture.stat().st_size < picture_grid.MAX_BYTES


@pytest.mark.slow
def test_scenes_of_several_views_are_predicted_together(
  scenes_run, call, tmp_path
):
  status, text = call(
    f"--model={scenes_run}", "--seed=1", f"--output={tmp_path / 'out'}"
  )
  assert status == 0, text
  assert "sample 2" in (tmp_path / "out" / "index.html").read_text()


def test_a_seed_says_what_the_scenes_are(model, tmp_path):
  trained = Magvit.from_pretrained(model).trained
  one, again, other = (
    fresh_scenes.render(trained, tmp_path / name, 12, seed)
    for name, seed in (("one", 3), ("again", 3), ("other", 4))
  )
  frames = one.samples["frames"]
  assert frames.shape == (12, 3, *trained.clip_shape)
  np.testing.assert_array_equal(again.samples["frames"], frames)
  assert not np.array_equal(other.samples["frames"], frames)
  assert sorted(one.samples["labels"]) == list(range(12))


def test_fresh_scenes_are_none_of_the_models_own(model, trained_run, tmp_path):
  """Whatever split, and though the options but for the seed are the same."""
  trained = Magvit.from_pretrained(model).trained
  fresh = fresh_scenes.render(trained, tmp_path / "new", 12, 0)
  paths = {path.tobytes() for path in fresh.samples["trajectory"]}
  for split in ("train", "validation", "test"):
    scenes = SceneSource(trained_run / "data", split)
    for index in range(len(scenes)):
      assert scenes.scene(index)[schema.TRAJECTORY].tobytes() not in paths


def test_given_frames_are_the_truth_and_later_ones_are_not(model, tmp_path):
  magvit = Magvit.from_pretrained(model, batch_size=6)
  held_out = fresh_scenes.render(magvit.trained, tmp_path / "new", 2, 0)
  made = scene_predictions.predict(magvit, held_out, seed=0)
  assert made.given_frames == 4
  np.testing.assert_array_equal(made.predicted[:, :, :4], made.real[:, :, :4])
  assert not np.array_equal(made.predicted[:, :, 4:], made.real[:, :, 4:])
  clips = made.real.reshape(-1, *magvit.clip_shape)
  np.testing.assert_array_equal(
    magvit.predict(clips), made.predicted.reshape(clips.shape)
  )
  np.testing.assert_array_equal(
    magvit.reconstruct(clips), made.reconstructed.reshape(clips.shape)
  )


def test_the_picture_marks_what_is_predicted():
  real = np.zeros((2, 3, 4, 8, 8, 3), np.uint8)
  predicted = np.full_like(real, 255)
  frames = picture_grid.draw(real, predicted, ["up", "down"], given_frames=2)
  assert len(frames) == 4
  given, orange = animations.GIVEN_COLOR, animations.PREDICTED_COLOR
  height = 130  # Within the first row of clips.
  for frame, color in enumerate([given, given, orange, orange]):
    row = frames[frame, height]
    found = {tuple(pixel) for pixel in row.tolist()}
    assert found >= {(0, 0, 0), (255, 255, 255), given, color}
    assert (orange in found) == (color == orange)
    bar = frames[frame, -15]
    shares = [np.mean((bar == c).all(-1)) for c in (given, orange)]
    assert (shares[1] > 0) == (frame >= 2) and shares[0] > 0
  assert len(picture_grid.encode(frames)) < picture_grid.MAX_BYTES


def test_a_picture_that_is_too_large_loses_quality(monkeypatch):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
  full = len(picture_grid.encode(frames))
  monkeypatch.setattr(picture_grid, "MAX_BYTES", full)
  assert len(picture_grid.encode(frames)) < full
  monkeypatch.setattr(picture_grid, "MAX_BYTES", 10)
  with pytest.raises(UserError, match="--picture"):
    picture_grid.encode(frames)


def test_bad_input_is_one_sentence_that_names_the_flag(model, call, tmp_path):
  (tmp_path / "full").mkdir()
  (tmp_path / "full" / "notes.txt").write_text("mine")
  (tmp_path / "file").write_text("mine")
  output = f"--output={tmp_path / 'out'}"
  model_flag = f"--model={model}"
  for arguments, texts in (
    (["--model=huge", output], ["--model: 'huge' is no folder"]),
    ([model_flag, "--seed=-1", output], ["--seed=-1 must be from 0 to"]),
    (
      [model_flag, output, f"--picture={tmp_path / 'out' / 'demo.webp'}"],
      ["--picture=", "lies in the folder of the page", "beside it"],
    ),
    ([model_flag, "--seed=2147483648", output], ["--seed=2147483648"]),
    ([model_flag, f"--output={tmp_path / 'full'}"], ["--output", "exists"]),
    (
      [model_flag, f"--output={tmp_path / 'file' / 'out'}"],
      ["--output", "cannot be written"],
    ),
    ([model_flag, output, "--picture=a.gif"], ["--picture=a.gif", ".webp"]),
    (
      [model_flag, output, f"--picture={tmp_path / 'file' / 'a.webp'}"],
      ["--picture", "cannot be written"],
    ),
  ):
    status, text = call(*arguments)
    assert status == 1
    error = text.splitlines()[-1]
    assert error.startswith("Error: ") and "Traceback" not in text
    for wanted in texts:
      assert wanted in error
    assert not (tmp_path / "out").exists()


def test_models_that_cannot_be_shown_say_why(model, tmp_path):
  magvit = Magvit.from_pretrained(model)
  unknown = dataclasses.replace(magvit.trained, data=None)
  with pytest.raises(UserError, match="does not say how its data were made"):
    fresh_scenes.render(unknown, tmp_path / "a", 1, 0)
  own = dict(magvit.trained.data, seed=fresh_scenes.FIRST_SEED + 5)
  same = dataclasses.replace(magvit.trained, data=own)
  with pytest.raises(UserError, match="--seed=5"):
    fresh_scenes.render(same, tmp_path / "b", 1, 5)
  one_camera = dict(magvit.trained.data, camera_rig="1,1,1")
  flat = dataclasses.replace(magvit.trained, data=one_camera)
  with pytest.raises(UserError, match="One camera cannot tell"):
    fresh_scenes.render(flat, tmp_path / "c", 1, 0)
  given = dict(magvit.trained.config.given)
  given["tasks"] = {"full_generation": given["tasks"]["full_generation"]}
  config = RunConfig.from_dict(given)
  still = Magvit(dataclasses.replace(magvit.trained, config=config))
  with pytest.raises(UserError, match="has not learnt frame_prediction"):
    scene_predictions.check(still)


def test_twelve_scenes_are_one_of_each_class(model):
  assert len(Magvit.from_pretrained(model).class_names) == demo_run.NUM_SCENES
