"""`magvit3d.generate` and `magvit3d.tokenize` with a run that sees scenes."""

import dataclasses
import html.parser
import json

import generate_command
import numpy as np
import pytest
import recorded
from PIL import Image

from data_gen.records.scene_source import SceneSource
from data_gen.rendering import cameras as rigs
from magvit3d import tokenize
from magvit3d.api import Magvit
from magvit3d.cli import console, jax_setup
from magvit3d.data.token_records import TokenSource
from magvit3d.exports import clips


@pytest.fixture(scope="module")
def magvit(scenes_run):
  return Magvit.from_run(scenes_run)


@pytest.fixture
def run(scenes_run, tmp_path, monkeypatch, capsys):
  """Calls the command; returns exit status, output, arrays and folder."""
  return generate_command.make(scenes_run, tmp_path, monkeypatch, capsys)


def _words(folder):
  found = []

  class Page(html.parser.HTMLParser):
    def handle_data(self, data):
      found.append(data.strip())

  Page().feed((folder / "index.html").read_text())
  return found


def _frames(arrays, name="clips"):
  """(n, v, t, h, w, 3), and that the clips stand in this order."""
  clips = arrays[name]
  np.testing.assert_array_equal(
    arrays["cameras"], np.tile(range(3), len(clips) // 3)
  )
  return clips.reshape(-1, 3, *clips.shape[1:])


@pytest.mark.slow
def test_new_scenes_have_the_cameras_of_the_run(run, magvit):
  status, _, arrays, folder = run("--num=2", "--shape=cone", "--seed=3")
  assert status == 0
  made = magvit.generate("cone", num=2, seed=3)
  np.testing.assert_array_equal(_frames(arrays), made)
  np.testing.assert_array_equal(arrays["scenes"], [0, 0, 0, 1, 1, 1])
  for name in ("intrinsics", "camera_from_world"):
    expected = np.tile(getattr(magvit.trained.rig, name), (2, 1, 1))
    np.testing.assert_allclose(arrays[name], expected, rtol=1e-6)
  words = _words(folder)
  for label in arrays["labels"][::3]:
    assert f"{magvit.class_names[label]}, camera 2" in words
  with Image.open(folder / "clips.gif") as image:
    assert image.width >= 3 * 128


def test_other_cameras_have_the_lens_of_the_runs_data(magvit):
  data = dict(magvit.trained.data, field_of_view=60.0)
  other = Magvit(dataclasses.replace(magvit.trained, data=data))
  focal_px = 24 / 2 / np.tan(np.radians(30))
  found = clips._rig(other, "ring:2").intrinsics
  np.testing.assert_allclose(found[:, 0, 0], focal_px, rtol=1e-6)


@pytest.mark.slow
def test_new_scenes_may_have_other_cameras(run, magvit):
  _, _, arrays, _ = run("--num=1", "--camera_rig=ring:5")
  assert len(arrays["clips"]) == 5
  rig = rigs.make_rig(
    rigs.parse_rig("ring:5"), np.zeros((5, 3)), np.full(5, np.pi / 4), 24
  )
  np.testing.assert_allclose(
    arrays["camera_from_world"], rig.camera_from_world, atol=1e-6
  )
  made = magvit.generate(num=1, cameras=rig)
  np.testing.assert_array_equal(arrays["clips"], made[0])


def test_views_are_predicted_from_given_ones(run, magvit, scenes_run):
  status, text, arrays, folder = run(
    "--task=view_prediction", "--num=2", "--given_views=1"
  )
  assert status == 0, text
  real, shown = _frames(arrays, "real"), _frames(arrays, "condition")
  np.testing.assert_array_equal(shown[:, 1], real[:, 1])
  assert (shown[:, [0, 2]] == 128).all()  # Grey: nothing is shown.
  source = SceneSource(scenes_run / "data", "test")
  scene = source.scene(arrays["scenes"][3])
  np.testing.assert_array_equal(real[1], scene["frames"])
  rig = rigs.Cameras(
    arrays["intrinsics"][:3], arrays["camera_from_world"][:3], 24
  )
  made = magvit.predict_views(real[:, 1:2], rig, [1])
  np.testing.assert_array_equal(_frames(arrays)[:, [0, 2]], made[:, [0, 2]])
  assert f"{scene['caption']}, camera 2" in _words(folder)


@pytest.mark.slow
def test_scenes_are_recorded_with_true_and_predicted_paths(run, tmp_path):
  pytest.importorskip("rerun")
  status, text, arrays, folder = run(
    "--task=view_prediction", "--num=2", "--format=rrd"
  )
  assert status == 0, text
  found = recorded.rows(folder / "clips.rrd", tmp_path)
  frames = arrays["clips"].shape[1]
  for scene in set(arrays["scenes"].tolist()):
    for kind in ("true", "predicted"):
      place = f"/scene_{scene}/position/{kind}@Points3D:positions"
      assert found[place] == frames
      place = f"/scene_{scene}/camera_2/{kind}@EncodedImage:blob"
      assert found[place] == frames


@pytest.mark.slow
def test_frames_of_views_are_predicted(run, magvit):
  for arguments, options in (
    (["--task=frame_prediction"], {}),
    (["--task=frame_prediction", "--given_frames=2"], {"given_frames": 2}),
    (["--task=view_frame_prediction"], {"given_views": [0]}),
  ):
    status, text, arrays, folder = run("--num=1", *arguments)
    assert status == 0, text
    real = _frames(arrays, "real")
    made = magvit.predict(real, **options)
    count = options.get("given_frames", 4)
    np.testing.assert_array_equal(
      _frames(arrays)[:, 1:, count:], made[:, 1:, count:]
    )
    said = " ".join(_words(folder))
    assert f"the first {count} of 8 frames" in said
    assert ("of some views all frames" in said) == ("given_views" in options)
    for path in folder.iterdir():
      path.unlink()
    folder.rmdir()


@pytest.mark.parametrize(
  ("arguments", "text"),
  [
    (["--task=frame_prediction", "--given_views=0"], "--given_views is for"),
    (["--task=view_prediction", "--given_views=0,1,2"], "leave one to predict"),
    (["--task=view_prediction", "--given_frames=2"], "--given_frames is for"),
    (["--task=view_prediction", "--camera_rig=ring:4"], "--camera_rig is for"),
    (["--camera_rig=circle"], "--camera_rig=circle is not known"),
    (["--task=view_prediction", "--shape=cone"], "--shape and --motion"),
  ],
)
def test_mistakes_are_told_and_write_nothing(run, arguments, text):
  status, said, _, folder = run(*arguments)
  assert status == 1 and text in said
  assert not folder.exists()


@pytest.mark.slow
def test_a_split_with_fewer_scenes_is_told(run):
  status, text, arrays, _ = run("--task=view_prediction", "--num=100")
  assert status == 0 and len(arrays["clips"]) == 12
  assert "Note: the split has 4 scenes, fewer than --num=100." in text


def test_tokens_are_exported_clip_by_clip(
  scenes_run, magvit, tmp_path, monkeypatch
):
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(jax_setup, "set_up", lambda config, workdir: None)
  folder = tmp_path / "tokens"
  arguments = [f"--run={scenes_run}", f"--output={folder}", "--splits=test"]
  assert tokenize.main(arguments) == 0
  manifest = json.loads((folder / "test" / "manifest.json").read_text())
  records = TokenSource(folder / "test", manifest["key"])
  scenes = SceneSource(scenes_run / "data", "test")
  num_equal = 0
  for number in range(len(records)):
    scene, camera = divmod(number, 3)
    tokens = magvit.tokenize(scenes.scene(scene)["frames"][camera])
    num_equal += np.mean(records[number]["tokens"] == tokens)
  assert len(records) == 12
  assert num_equal > 0.99 * 12  # Another program may decide ties otherwise.


def test_numbers_of_views_must_be_numbers(run, capsys):
  with pytest.raises(SystemExit):
    run("--given_views=first")
  assert "'first' are no numbers of cameras" in capsys.readouterr().err
