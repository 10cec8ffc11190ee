"""World models of scenes: the object's steps, or the cameras', as actions."""

import json
import shutil

import numpy as np
import pytest
import small_footage
import small_studies

from data_gen import schema
from data_gen.errors import DataError
from data_gen.import_videos import import_videos
from data_gen.records.scene_source import SceneSource
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.parallel import sharding
from magvit3d.run.data import RunData
from magvit3d.run.stages import Run
from magvit3d.studies.world_model import WorldModel, world_model_stages
from magvit3d.studies.world_model import world_model_scores as scores
from magvit3d.studies.world_model.action_data import ActionClips


@pytest.fixture(scope="module", params=["object", "camera"])
def run(request, tmp_path_factory):
  """Name of the action, and the work folder of a run."""
  workdir = tmp_path_factory.mktemp("scenes") / request.param
  config = small_studies.make_scene_world_model(request.param)
  Experiment(config, workdir).run()
  return request.param, workdir


def _pixel(scene, view, place):
  """Where a camera sees a place of the world, and how far away."""
  rotation, translation = np.split(
    scene[schema.CAMERA_FROM_WORLD][view], [3], 1
  )
  seen = rotation @ place + translation[:, 0]
  x, y, w = scene[schema.INTRINSICS][view] @ seen
  return np.array([x / w, y / w]), w


def test_actions_point_where_the_camera_sees_things_go(run):
  action, workdir = run
  scenes = SceneSource(workdir / "data", "train")
  key = schema.TRAJECTORY if action == "object" else schema.CAMERA_PATH
  source = ActionClips(scenes, key, has_all_views=True)
  assert len(source) == 6 * 3
  for index in range(len(source)):
    number, view = divmod(index, 3)
    scene, clip = scenes.scene(number), source[index]
    frames = scene[schema.FRAMES][view]
    np.testing.assert_array_equal(clip["frames"], frames.max(-1))
    assert clip["actions"].shape == (5, 3) and not clip["actions"][0].any()
    # In metres, whatever the axes are.
    steps = np.linalg.norm(np.diff(scene[key], axis=0), axis=-1)
    found = np.linalg.norm(clip["actions"][1:], axis=-1)
    np.testing.assert_allclose(found, steps, atol=1e-6)
    if action == "object":
      before, depth = _pixel(scene, view, scene[key][0])
      after, new_depth = _pixel(scene, view, scene[key][1])
      right, down, away = clip["actions"][1]
      assert new_depth - depth == pytest.approx(away, abs=1e-5)
      # As far as the lens brings it, of a step across the line of sight.
      focal = scene[schema.INTRINSICS][view][0, 0]
      middle = (scenes.image_size - 1) / 2
      moved = (after - middle) * new_depth - (before - middle) * depth
      np.testing.assert_allclose(moved / focal, [right, down], atol=1e-5)
    else:  # What rests goes the other way, as the camera sees it.
      rest = scene[schema.OBJECTS_TRAJECTORY][1]
      seen = rest @ scene[schema.CAMERA_FROM_WORLD][view][:, :3].T
      np.testing.assert_allclose(
        np.diff(seen, axis=0), -clip["actions"][1:], atol=1e-6
      )


def test_test_clips_are_of_one_camera_each(run):
  _, workdir = run
  scenes = SceneSource(workdir / "data", "test")
  source = ActionClips(scenes, schema.TRAJECTORY, has_all_views=False)
  assert len(source) == len(scenes) == 6
  for number in range(6):
    frames = scenes.scene(number)[schema.FRAMES][number % 3]
    np.testing.assert_array_equal(source[number]["frames"], frames.max(-1))


def test_both_networks_are_scored_and_no_number_is_moving_mnist_s(run):
  _, workdir = run
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  table = scores["tables"][0]
  assert [column["name"] for column in table["columns"]] == [
    "MSE", "SSIM", "PSNR",
  ]  # fmt: skip
  assert "MNIST" not in table["note"] and table["n"] == 6
  assert len(table["rows"]) == 9 and len(scores["checks"]) == 5
  assert (workdir / "report" / "index.html").exists()


def test_a_trained_model_goes_on_by_metres(run):
  action, workdir = run
  model = WorldModel.from_run(workdir)
  clip, past = model.example(0)
  assert clip.shape == (5, 24, 24) and past.shape == (5, 3)
  assert (model.axes, model.unit) == (("right", "down", "away"), "m")
  new = [[0.0, 0.02, 0.0]] * 2
  made = model.rollout(clip[:2], new, past_actions=past[:2])
  assert made.shape == (4, 24, 24)
  # Cameras are slower than objects.
  assert 0.02 < model.max_speed < (0.11 if action == "camera" else 2)
  for wrong, named in (
    (
      [[1, 0]],
      r"\(n, 3\), or \(1, n, 3\): right, down, away of each frame, in m",
    ),
    ([[9.0, 0, 0]], "go up to 9 m a frame"),
  ):
    with pytest.raises(UserError, match=named):
      model.rollout(clip[:2], wrong)


def test_a_trained_model_needs_no_data(run, tmp_path):
  """But for telling which steps are longer than those it knows."""
  _, workdir = run
  copy = tmp_path / "run"
  shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns("data"))
  clips, new = np.zeros((2, 24, 24), np.uint8), [[0.0, 0.02, 0.0]]
  model = WorldModel.from_run(copy)
  assert model.max_speed is None
  np.testing.assert_array_equal(
    model.rollout(clips, new), WorldModel.from_run(workdir).rollout(clips, new)
  )
  with pytest.raises(DataError, match=r"manifest\.json"):
    model.example(0)


def test_scores_are_of_one_camera_s_clip_of_each_scene(run):
  """On training scenes too: views of one scene are no independent clips."""
  action, workdir = run
  config = RunConfig.from_dict(
    small_studies.make_scene_world_model(action, world_model__split="train")
  )
  data = RunData(config, workdir)
  made = Run(config, workdir, sharding.make_mesh(), data, ())
  stage = world_model_stages.makers(made)["evaluate"](made)
  clips, actions = stage._clips("train")
  assert len(clips) == len(data.clips("train").scenes) > 1
  other, _ = stage._kinds(actions, clips.shape[:2])[scores.OTHERS]
  given = config.world_model.given_frames
  np.testing.assert_array_equal(other[1, given:], actions[0, given:])
  assert scores.OTHERS not in stage._kinds(actions[:1], (1, 5))


def test_a_second_start_changes_nothing_and_other_actions_are_refused(run):
  action, workdir = run
  before = (workdir / "stages.json").read_bytes()
  Experiment(small_studies.make_scene_world_model(action), workdir).run()
  assert (workdir / "stages.json").read_bytes() == before
  other = {"object": "camera", "camera": "object"}[action]
  config = small_studies.make_scene_world_model(action)
  config["world_model"]["action"] = other
  with pytest.raises(UserError, match="moving_cameras"):
    Experiment(config, workdir).run()


def test_scenes_of_cameras_that_rest_are_refused(run, tmp_path):
  action, workdir = run
  if action == "camera":
    pytest.skip("Its scenes have cameras that move.")
  config = small_studies.make_scene_world_model(
    "camera", data__data_dir=str(workdir / "data")
  )
  with pytest.raises(UserError, match=r"stand still.*--moving_cameras"):
    Experiment(config, tmp_path / "run").run()


def test_footage_whose_tracks_are_unknown_is_refused(tmp_path):
  """Before anything is trained, also where only the test lacks them."""
  content = small_footage.write_footage(tmp_path)
  content["recordings"][2]["track"][5] = None
  small_footage.write_json(tmp_path, content)
  import_videos(small_footage.make_options(tmp_path, tmp_path / "data"), str)
  config = small_studies.make_scene_world_model(
    "object",
    data__data_dir=str(tmp_path / "data"),
    data__num_frames=4,
    data__image_size=48,
    stages="world_model",
  )
  named = "scene 1 of the test split in .*data has frames whose track"
  with pytest.raises(UserError, match=named):
    Experiment(config, tmp_path / "run").run()


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"world_model__patch": 5}, r"must divide config\.data\.image_size=24"),
    ({"world_model__given_frames": 5}, r"5 of config\.data\.num_frames=5"),
    ({"world_model__action": "hand"}, r"config\.world_model\.action"),
    ({"world_model__action": "digit"}, r"config\.digits is missing"),
    ({"data__num_validation": 0}, r"config\.data\.num_validation=0 leaves"),
    (
      {"train_world_model__num_validation_clips": 0},
      r"config\.train_world_model\.num_validation_clips=0 leaves",
    ),
  ],
)
def test_wrong_fields_are_named(fields, named):
  with pytest.raises(UserError, match=named):
    RunConfig.from_dict(
      small_studies.make_scene_world_model("object", **fields)
    )


def test_digits_and_scenes_at_once_are_refused():
  config = small_studies.make_scene_world_model("object")
  config["digits"] = small_studies.make_world_model()["digits"]
  with pytest.raises(UserError, match="sections digits and data"):
    RunConfig.from_dict(config)
